--[[
look: reads what is on record of a job.

KEYS
  state    HASH  the record
  waiting  ZSET  occurrence id → when it was due in ms; what was asked for by hand has the negative of that
REPLIES
  {"format", format}
  {"absent", now}
  {"removed", now, version}
  {"job", now, version, definition, next, cursor, paused, open, head, headScore, waitingCount, held}
       paused: 0 or 1; open, head: occurrence ids or ""; held: for how many ms the last run counts as under way yet,
       0 when that has to be put on record anew first
]]
local state, waiting = KEYS[1], KEYS[2]
-- @include time
-- @include job
-- @include held
-- @include head
if not job.format then
  return { "absent", nowText }
elseif job.removed then
  return { "removed", nowText, job.version }
end
return {
  "job", nowText, job.version, job.definition, job.next, job.cursor, job.paused or "0",
  job.open or "", head[1] or "", head[2] or "0", redis.call("ZCARD", waiting),
  heldAnew and 0 or math.ceil(heldUs / 1000),
}
