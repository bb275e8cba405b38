--[[
admit: decides occurrences that are due, and moves the record on to the following one, as one compare-and-set on version and next
occurrence: of all replicas one succeeds, and a repeat finds the record moved on.

KEYS
  state    HASH  the record
  waiting  ZSET  occurrence id → when it was due in ms
  history  LIST  records of what has ended, the latest first
ARGV
  notAfterUs  bound in server time
  version     of the definition that decided
  expected    the occurrence that is next on record, in ms
  cursor      the last occurrence that is decided here, in ms
  following   the one after it, in ms
  waitingMax  most occurrences that wait
  historyMax  most records of history
  skipped     record for the history when the occurrence overlaps and may not wait; "" when it may
  missed      record for the history of what was missed; "" for none
  runs...     occurrence id, due in ms
REPLIES
  {"format", format}
  {"too-late", now}
  {"admitted"}
  {"skipped"}  the occurrence was due while a run was under way
  {"full"}     too many wait; nothing was decided
  {"moved"}    the record was moved on by somebody else
]]
local state, waiting, history = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, version, expected, cursor, following = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local waitingMax, historyMax, skipped, missed = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
local runsAt = 10
-- @include time
-- @include bound
-- @include job
-- @include held
if job.version ~= version or job.next ~= expected or job.removed or job.paused then
  return { "moved" }
end
-- No clock decides what is due but the server's.
if tonumber(cursor) * 1000 > nowUs then
  return { "moved" }
end
local busy = job.open or redis.call("ZCARD", waiting) > 0 or heldUs > 0
local overlaps = busy and skipped ~= ""
local runs = {}
for at = runsAt, #ARGV, 2 do
  runs[#runs + 1] = ARGV[at + 1]
  runs[#runs + 1] = ARGV[at]
end
if not overlaps and redis.call("ZCARD", waiting) + #runs / 2 > waitingMax then
  return { "full" }
end
redis.call("LLEN", history)
redis.call("HSET", state, "next", following, "cursor", cursor)
if heldAnew and not job.open then
  redis.call("HSET", state, unpack(heldAnew))
end
if missed ~= "" then
  redis.call("LPUSH", history, missed)
end
if overlaps then
  redis.call("LPUSH", history, skipped)
elseif #runs > 0 then
  redis.call("ZADD", waiting, unpack(runs))
end
redis.call("LTRIM", history, 0, historyMax - 1)
return { overlaps and "skipped" or "admitted" }
