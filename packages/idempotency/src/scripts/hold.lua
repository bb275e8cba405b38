--[[
hold: ends an attempt whose outcome is unknown. The key stays closed: for one more lease when it is recovered, until it is resolved when it
is held. A repeat gets its first answer (K1).

KEYS
  record  STRING  the key's record, and the channel of the hints to those who wait
ARGV
  notAfterUs   the bound in server time
  owner        the attempt's
  retentionMs  how long the key is remembered after its lease
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"unknown"}
  {"refused", state, token}
  {"newer-format", version}
  {"too-late", now}
]]
local record = KEYS[1]
local notAfterUs, owner, retentionMs, publish = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
-- @include time
-- @include bound
-- @include record
-- @include expiry
-- @include stored
if not stored then
  return { "refused", "absent", "0" }
end
if recall(stored, "u", owner) then
  return { "unknown" }
end
if stored.state ~= "running" or stored.owner ~= owner then
  refuse(record, stored)
  return { "refused", stored.state, stored.token }
end
stored.state, stored.ended = "unknown", nowText
remember(stored, "u", owner)
-- @include prolong
redis.pcall(publish, record, "")
return { "unknown" }
