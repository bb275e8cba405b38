--[[
resolve: an operator settles a key that no live attempt holds. It takes a token of its own (K5), so that the attempt it overrules can write
nothing any more. A repeat gets its first answer (K1).

KEYS
  record      STRING  the key's record, and the channel of the hints to those who wait
  recovering  ZSET    unfinished keys that are recovered after their lease
  held        ZSET    unfinished keys that stay closed until they are resolved
ARGV
  notAfterUs   the bound in server time
  operationId  names this call
  outcome      completed, failed or released
  effect       of the attempts so far, when released: none or possible
  codec        how the result is encoded
  result       bytes
  retentionMs  how long the outcome is kept
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"resolved"}
  {"settled", state}
  {"busy", remainingMs}
  {"absent"}
  {"newer-format", version}
  {"too-late", now}
]]
local record, recovering, held = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, operationId, outcome, effect = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local codec, result, retentionMs, publish = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
-- @include time
-- @include bound
-- @include token
-- @include record
-- @include expiry
-- @include lease
-- @include stored
if recall(stored, "r", operationId) then
  return { "resolved" }
end
if not stored or stored.state == "forgotten" then
  return { "absent" }
end
if stored.state == "completed" or stored.state == "failed" then
  return { "settled", stored.state }
end
local leftUs = remainingUs(record, stored)
if stored.state == "running" and leftUs > 0 then
  return { "busy", math.ceil(leftUs / 1000) }
end
local token = nextToken(stored.token)
-- @include unlist
stored.state, stored.token, stored.owner, stored.ended = outcome, token, operationId, nowText
remember(stored, "r", operationId)
if outcome ~= "released" then
  stored.codec, stored.result = codec, result
elseif effect == "none" then
  stored.possible, stored.print = "0", ""
else
  stored.possible = "1"
end
redis.call("SET", record, packRecord(stored), "PXAT", keptUntil(record, token, true, retentionMs))
redis.pcall(publish, record, "")
return { "resolved" }
