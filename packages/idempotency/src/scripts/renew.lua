--[[
renew: prolongs the lease of a running attempt. Safe to repeat.

KEYS
  record  STRING  the key's record
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
-- @include record
-- @include expiry
-- @include stored
if not stored or stored.state ~= "running" or stored.owner ~= owner then
  return { "lost" }
end
-- @include prolong
return { "renewed" }
