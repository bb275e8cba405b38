--[[
release: ends an attempt without an outcome, so that the next call runs again. When no attempt can have had an effect the payload is
forgotten, too: a corrected one may use the key. A repeat gets its first answer (K1).

KEYS
  record      STRING  the key's record, and the channel of the hints to those who wait
  recovering  ZSET    unfinished keys that are recovered after their lease
  held        ZSET    unfinished keys that stay closed until they are resolved
ARGV
  notAfterUs   the bound in server time
  owner        the attempt's; enough, since a caller whose grant was lost knows no token
  effect       none or possible
  retentionMs  how long the key is remembered
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"released"}
  {"refused", state, token}
  {"newer-format", version}
  {"too-late", now}
]]
local record, recovering, held = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, effect, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local publish = ARGV[5]
-- @include time
-- @include bound
-- @include record
-- @include expiry
-- @include stored
if not stored then
  return { "refused", "absent", "0" }
end
if recall(stored, "l", owner) then
  return { "released" }
end
if stored.state ~= "running" or stored.owner ~= owner then
  refuse(record, stored)
  return { "refused", stored.state, stored.token }
end
if effect == "possible" then
  stored.possible = "1"
end
if stored.possible == "0" then
  stored.print = ""
end
stored.state, stored.ended = "released", nowText
-- @include unlist
local untilMs = keptUntil(record, stored.token, touched(stored.number, stored.operations), retentionMs)
remember(stored, "l", owner)
redis.call("SET", record, packRecord(stored), "PXAT", untilMs)
redis.pcall(publish, record, "")
return { "released" }
