--[[
inspect: says what is known of a key. Changes nothing.

KEYS
  record  HASH  state, token, owner and result of the key
ARGV
REPLIES
  {"record", state, token, number, possible, startedMs, endedMs, remainingMs, rule, codec, resultBytes, refused, expiresInMs}
  {"absent"}
  {"newer-format", version}
]]
local record = KEYS[1]
-- @include time
local found = redis.call("HMGET", record, "v", "s", "t", "n", "p", "b", "d", "e", "l", "u", "c", "x")
local version, state, token, number, possible = found[1], found[2], found[3], found[4], found[5]
local startedMs, endedMs, leaseEndUs, lengthUs = found[6], found[7], tonumber(found[8] or 0), tonumber(found[9] or 0)
local rule, codec, refused = found[10], found[11], found[12]
-- @include format
if not state then
  return { "absent" }
end
local remainingMs = math.max(0, math.ceil(math.min(leaseEndUs - nowUs, lengthUs) / 1000))
return { "record", state, token, number, possible or "0", startedMs or "0", endedMs or "0", remainingMs, rule or "", codec or "",
  redis.call("HSTRLEN", record, "r"), refused or "0", redis.call("PTTL", record) }
