--[[
release: ends the owner's lease or its waiting, and hands the lease to the first live waiter (L6). Only the owner's (L2, L5). With a seal
the owner is remembered as gone, so that a request of its acquire that arrives later grants nothing (L3).

KEYS
  lease  STRING  the record
  queue  ZSET    waiters by arrival; the channels of their hints are named after it
  seen   ZSET    waiters by the time until which they count as alive, sealed owners by the end of the seal
ARGV
  notAfterUs   bound in server time (K1)
  owner        who gives it back or gives up
  retentionMs  how long the record outlives token, lease and delay
  sealMs       how long a request of this owner may still be under way; 0 when none can be
  rules        most dead waiters removed in one step, 8 digits, and PUBLISH or SPUBLISH
REPLIES
  "released"         the owner held it, and no longer does
  "lost"             it did not hold it
  "newer-format n"   the record is of a newer version
  {"too-late", now}  nothing was done
]]
local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, retentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local sealMs, rules = tonumber(ARGV[4]), ARGV[5]
-- What flags the record stays for as long as the seal (K1).
retentionMs = math.max(retentionMs, sealMs)

-- @include time
-- @include bound
-- @include token
-- @include record
if newerFormat then
  return "newer-format " .. newerFormat
end
local held = holder == owner and since ~= none
if held and flag ~= "q" and sealMs == 0 then
  write(token, none, terms, "-", owner)
  return "released"
end
-- @include hand-off
-- An owner that holds it can stand in the queue, too, when it was granted while the record was lost.
local head, untilUs = false, 0
if held and flag == "q" then
  head, untilUs = liveHead(owner)
end
if flag == "q" or sealMs > 0 then
  leave(owner, head or owner)
end
if sealMs > 0 then
  forgetSeals()
  redis.call("ZADD", seen, string.format("%.0f", -nowUs - sealMs * 1000), "!" .. owner)
  redis.call("PEXPIRE", seen, retentionMs)
end
if head then
  handTo(head, untilUs)
elseif held then
  write(token, none, terms, flagNow(), owner)
elseif sealMs > 0 and flag ~= "q" then
  write(token or none, since, terms, "q", holder)
end
return holder == owner and "released" or "lost"
