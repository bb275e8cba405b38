--[[
renew: counts the lease of its owner anew (L2). A lease that has ended by the clock and that nobody has taken is still the owner's.

KEYS
  lease  STRING  the record
ARGV
  notAfterUs   bound in server time (K1)
  owner        who holds it
  newTerms     length of the lease and lock delay in ms, 8 digits each
  retentionMs  how long the record outlives token, lease and delay
REPLIES
  "renewed"          it is held
  "lost"             somebody else holds it, or nobody remembers it
  "newer-format n"   the record is of a newer version
  {"too-late", now}  nothing was done
]]
local lease = KEYS[1]
local notAfterUs, owner, newTerms, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])

-- @include time
-- @include bound
-- @include record
if newerFormat then
  return "newer-format " .. newerFormat
end
if holder ~= owner or since == none then
  return "lost"
end
write(token, nowText, newTerms, flag, owner)
return "renewed"
