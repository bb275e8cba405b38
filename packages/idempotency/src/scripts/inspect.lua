--[[
inspect: says what is known of a key. Changes nothing.

KEYS
  record  STRING  the key's record
ARGV
REPLIES
  {"record", state, token, number, possible, begunUs, endedUs, remainingMs, rule, codec, resultBytes, refused, expiresInMs}
  {"absent"}
  {"newer-format", version}
]]
local record = KEYS[1]
-- @include time
-- @include record
-- @include stored
if not stored then
  return { "absent" }
end
local lengthUs = tonumber(stored.length) or 0
local leftUs = math.min((tonumber(stored.leased) or 0) + lengthUs - nowUs, lengthUs)
return { "record", stored.state, stored.token, stored.number, stored.possible, stored.begun, stored.ended,
  math.max(0, math.ceil(leftUs / 1000)), stored.rule, stored.codec, #stored.result, stored.refused, redis.call("PTTL", record) }
