--[[
hold: ends an attempt whose outcome is unknown. The key stays closed: for one more lease when it is recovered, until it is resolved when it
is held. A repeat gets its first answer (K1).

KEYS
  record  HASH  state, token, owner and result of the key
  hints   channel of the wake-ups
ARGV
  notAfterUs   the bound in server time
  owner        the attempt's
  retentionMs  how long the key is remembered after its lease
  member       the hint
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"unknown"}
  {"refused", state, token}
  {"newer-format", version}
  {"too-late", now}
]]
local record, hints = KEYS[1], KEYS[2]
local notAfterUs, owner, retentionMs, member, publish = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
-- @include time
-- @include bound
local found = redis.call("HMGET", record, "v", "s", "o", "t", "l", "u")
local version, state, holder, token, lengthUs, rule = found[1], found[2], found[3], found[4], tonumber(found[5]), found[6]
-- @include format
if state == "unknown" and holder == owner then
  return { "unknown" }
end
if state ~= "running" or holder ~= owner then
  if state then
    redis.pcall("HINCRBY", record, "x", 1)
  end
  return { "refused", state or "absent", token or "0" }
end
if rule == "hold" then
  redis.call("PERSIST", record)
else
  redis.call("PEXPIREAT", record, math.floor((math.max(nowUs, tonumber(token)) + lengthUs) / 1000) + retentionMs)
end
redis.call("HSET", record, "s", "unknown", "e", string.format("%.0f", nowUs + lengthUs), "d", math.floor(nowUs / 1000))
redis.pcall(publish, hints, member)
return { "unknown" }
