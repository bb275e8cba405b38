--[[
release: ends an attempt without an outcome, so that the next call runs again. When no attempt can have had an effect the payload is
forgotten, too: a corrected one may use the key. A repeat gets its first answer (K1).

KEYS
  record      HASH  state, token, owner and result of the key
  recovering  ZSET  unfinished keys that are recovered after their lease
  held        ZSET  unfinished keys that stay closed until they are resolved
  hints       channel of the wake-ups
ARGV
  notAfterUs   the bound in server time
  owner        the attempt's; enough, since a caller whose grant was lost knows no token
  effect       none or possible
  retentionMs  how long the key is remembered
  member       the key in the index, and the hint
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"released"}
  {"refused", state, token}
  {"newer-format", version}
  {"too-late", now}
]]
local record, recovering, held, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, owner, effect, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local member, publish = ARGV[5], ARGV[6]
-- @include time
-- @include bound
local found = redis.call("HMGET", record, "v", "s", "o", "t", "p", "u")
local version, state, holder, token, possible, rule = found[1], found[2], found[3], found[4], found[5], found[6]
-- @include format
if state == "released" and holder == owner then
  return { "released" }
end
if state ~= "running" or holder ~= owner then
  if state then
    redis.pcall("HINCRBY", record, "x", 1)
  end
  return { "refused", state or "absent", token or "0" }
end
if effect == "possible" then
  possible = "1"
end
-- @include unlist
redis.call("HSET", record, "s", "released", "p", possible, "d", math.floor(nowUs / 1000))
if possible == "0" then
  redis.call("HSET", record, "f", "")
end
redis.call("PEXPIREAT", record, math.floor(math.max(nowUs, tonumber(token)) / 1000) + retentionMs)
redis.pcall(publish, hints, member)
return { "released" }
