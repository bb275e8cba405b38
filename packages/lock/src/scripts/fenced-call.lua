--[[
fenced-call: runs a user's script, unless a higher token has been there. The user's text stands in front of this one as the function
`userScript(KEYS, ARGV)`, with its inputs as `userKeys` and `userArgs` (guard/fenced-script.ts). An error that it raises or returns is a reply
like any other, also to a repeat: what it wrote before stands, and is not written again (K1). As an error of this script it could be taken for
one of ours, which come before the first write (K3).

KEYS
  fence  STRING  the highest token of the resource
  first  STRING  what this operation answered first, for a while longer than its bound
ARGV
  notAfterUs        bound in server time (K1)
  token             16 digits
  guardRetentionMs  how long tokens are remembered; older ones are refused
  repeatWithinMs    how long the first answer is remembered
REPLIES
  {"done", {reply}}    what the user's script returned
  {"failed", error}    what it raised, or returned as an error; it may have written before
  {"stale", highest}   a higher token has been there
  {"too-old", oldest}  the token is older than the guard remembers
  {"newer-format", n}  the fence is of a newer version
  {"too-late", now}    nothing was done
]]
local fence, first = KEYS[1], KEYS[2]
local notAfterUs, token, guardRetentionMs, repeatWithinMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

-- @include time
-- @include bound
-- @include fence
-- Kept as a table with `err`, as earlier versions keep a returned error.
local function told(answer)
  return answer.err and { "failed", answer.err } or answer
end
local answered = redis.call("GET", first)
if answered then
  return told(cmsgpack.unpack(answered))
end
local refusal = stale()
if refusal then
  return refusal
end
advance()
local ran, result = pcall(userScript, userKeys, userArgs)
local answer = { "done", { result } }
if type(result) == "table" and result.err ~= nil then
  answer = { err = tostring(result.err) }
elseif not ran then
  answer = { err = tostring(result) }
end
redis.call("SET", first, cmsgpack.pack(answer), "PX", repeatWithinMs)
return told(answer)
