--[[
resolve: an operator settles a key that no live attempt holds. It takes a token of its own (K5), so that the attempt it overrules can write
nothing any more. A repeat gets its first answer (K1).

KEYS
  record      HASH  state, token, owner and result of the key
  recovering  ZSET  unfinished keys that are recovered after their lease
  held        ZSET  unfinished keys that stay closed until they are resolved
  hints       channel of the wake-ups
ARGV
  notAfterUs   the bound in server time
  operationId  names this call
  outcome      completed, failed or released
  effect       of the attempts so far, when released: none or possible
  codec        how the result is encoded
  result       bytes
  retentionMs  how long the outcome is kept
  member       the key in the index, and the hint
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"resolved"}
  {"settled", state}
  {"busy", remainingMs}
  {"absent"}
  {"newer-format", version}
  {"too-late", now}
]]
local record, recovering, held, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, operationId, outcome, effect = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local codec, result, retentionMs, member, publish = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]
-- @include time
-- @include bound
-- @include token
local found = redis.call("HMGET", record, "v", "s", "q", "t", "e", "l", "u")
local version, state, earlier, last = found[1], found[2], found[3], found[4]
local leaseEndUs, lengthUs, rule = tonumber(found[5] or 0), tonumber(found[6] or 0), found[7]
-- @include format
if earlier == operationId then
  return { "resolved" }
end
if not state or state == "forgotten" then
  return { "absent" }
end
if state == "completed" or state == "failed" then
  return { "settled", state }
end
-- A lease that is longer than its length comes from a clock that went back: it counts from now (K8).
local remainingUs = leaseEndUs - nowUs
if remainingUs > lengthUs then
  redis.call("HSET", record, "e", string.format("%.0f", nowUs + lengthUs))
  remainingUs = lengthUs
end
if state == "running" and remainingUs > 0 then
  return { "busy", math.ceil(remainingUs / 1000) }
end
local token = nextToken(last)
-- @include unlist
redis.call("HSET", record, "s", outcome, "t", token, "o", operationId, "q", operationId, "d", math.floor(nowUs / 1000))
if outcome ~= "released" then
  redis.call("HSET", record, "c", codec, "r", result)
elseif effect == "none" then
  redis.call("HSET", record, "p", "0", "f", "")
else
  redis.call("HSET", record, "p", "1")
end
redis.call("PEXPIREAT", record, math.floor(math.max(nowUs, tonumber(token)) / 1000) + retentionMs)
redis.pcall(publish, hints, member)
return { "resolved" }
