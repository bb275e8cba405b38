--[[
clear: forgets a parcel that the other bucket has received. Safe to repeat and to run late: another parcel stays.

KEYS
  transit  HASH  see lend
ARGV
  notAfterUs  bound in server time (K1)
  to          the other bucket
  parcel      as it is on record
REPLIES
  {"too-late", now}
  {"cleared"}
]]
local transit = KEYS[1]
local notAfterUs, to, parcel = tonumber(ARGV[1]), ARGV[2], ARGV[3]
-- @include time
-- @include bound
if redis.call("HGET", transit, "to:" .. to) == parcel then
  redis.call("HDEL", transit, "to:" .. to)
end
return { "cleared" }
