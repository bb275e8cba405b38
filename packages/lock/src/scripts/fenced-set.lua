--[[
fenced-set: sets a key, unless a higher token has been there.

KEYS
  key    STRING  the user's
  fence  STRING  the highest token of the resource
  first  STRING  what this operation answered first, for a while longer than its bound
ARGV
  notAfterUs        bound in server time (K1)
  token             16 digits
  guardRetentionMs  how long tokens are remembered; older ones are refused
  repeatWithinMs    how long the first answer is remembered
  value             to set
  ttlMs             life of the value; 0 for ever
REPLIES
  {"done"}             it is set
  {"stale", highest}   a higher token has been there
  {"too-old", oldest}  the token is older than the guard remembers
  {"newer-format", n}  the fence is of a newer version
  {"too-late", now}    nothing was done
]]
local key, fence, first = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, token, guardRetentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local repeatWithinMs, value, ttlMs = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])

-- @include time
-- @include bound
-- @include fence
if redis.call("EXISTS", first) == 1 then
  return { "done" }
end
local refusal = stale()
if refusal then
  return refusal
end
advance()
redis.call("SET", first, "1", "PX", repeatWithinMs)
if ttlMs > 0 then
  redis.call("SET", key, value, "PX", ttlMs)
else
  redis.call("SET", key, value)
end
return { "done" }
