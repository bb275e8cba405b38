--[[
renew: prolongs the lease of a running attempt. Safe to repeat.

KEYS
  record  HASH  state, token, owner and result of the key
ARGV
  notAfterUs   the bound in server time
  owner        the attempt's
  retentionMs  how long the key is remembered after its lease
REPLIES
  {"renewed"}
  {"lost"}
  {"newer-format", version}
  {"too-late", now}
]]
local record = KEYS[1]
local notAfterUs, owner, retentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
-- @include time
-- @include bound
local found = redis.call("HMGET", record, "v", "s", "o", "t", "l", "u")
local version, state, holder, token, lengthUs, rule = found[1], found[2], found[3], found[4], tonumber(found[5]), found[6]
-- @include format
if state ~= "running" or holder ~= owner then
  return { "lost" }
end
-- The expiry comes first: it frees nothing but is allowed when memory is out, and what follows it is then allowed, too (K3).
if rule == "hold" then
  redis.call("PERSIST", record)
else
  redis.call("PEXPIREAT", record, math.floor((math.max(nowUs, tonumber(token)) + lengthUs) / 1000) + retentionMs)
end
redis.call("HSET", record, "e", string.format("%.0f", nowUs + lengthUs))
return { "renewed" }
