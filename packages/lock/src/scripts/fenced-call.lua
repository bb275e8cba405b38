--[[
fenced-call: runs a user's script, unless a higher token has been there. The user's text stands in front of this one as the function
`userScript(KEYS, ARGV)`, with its inputs as `userKeys` and `userArgs` (guard/fenced-script.ts). An error that it returns is the reply, also to
a repeat.

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
local answered = redis.call("GET", first)
if answered then
  return cmsgpack.unpack(answered)
end
local refusal = stale()
if refusal then
  return refusal
end
advance()
local result = userScript(userKeys, userArgs)
local isError = type(result) == "table" and result.err ~= nil
-- An error inside a list would reach the caller as a value.
local reply = isError and { err = result.err } or { "done", { result } }
redis.call("SET", first, cmsgpack.pack(reply), "PX", repeatWithinMs)
return reply
