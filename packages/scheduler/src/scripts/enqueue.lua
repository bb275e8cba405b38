--[[
enqueue: adds an occurrence that was asked for by hand; it goes before what waits of the plan, and after what was asked for before. A repeat of
the same operation gets the first answer.

KEYS
  state    HASH    the record
  waiting  ZSET    occurrence id → when it was due in ms; negative here (shared/head.lua)
  answer   STRING  what this operation was answered
ARGV
  notAfterUs  bound in server time
  keepMs      how long an answer is remembered
  id          the occurrence
  overlap     "skip" or "queue"
  lateMaxMs   what is due for no longer than this will be run, and is not missed
  waitingMax  most occurrences that wait
REPLIES
  {"format", format}
  {"too-late", now}
  {"queued"}
  {"busy"}   a run is under way or about to begin, and overlap is skip, or too many wait
  {"absent"}
  {"moved"}  an occurrence is due that may have been missed, and overlap is skip: decide it first
]]
local state, waiting, answer = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, keepMs, id, overlap = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local lateMaxMs, waitingMax = tonumber(ARGV[5]), tonumber(ARGV[6])
-- @include time
-- @include bound
-- @include job
-- @include held
local answered = redis.call("GET", answer)
if answered then
  return { answered }
end
local count = redis.call("ZCARD", waiting)
local first = redis.call("ZRANGE", waiting, 0, 0, "WITHSCORES")
if not job.format or job.removed then
  redis.call("SET", answer, "absent", "PX", keepMs)
  return { "absent" }
end
-- What is due and undecided must not be skipped for this run, which was not under way at its time (C2): it is about to begin, too.
local lateUs = job.paused and -1 or nowUs - tonumber(job.next) * 1000
if overlap == "skip" and count < waitingMax and lateUs > lateMaxMs * 1000 then
  return { "moved" }
end
-- While the job is paused, only what was asked for by hand is about to begin.
local begins = lateUs >= 0 or count > 0 and (not job.paused or tonumber(first[2]) < 0)
local busy = job.open or begins or heldUs > 0
if count >= waitingMax or (busy and overlap == "skip") then
  if heldAnew and not job.open then
    redis.call("HSET", state, unpack(heldAnew))
  end
  redis.call("SET", answer, "busy", "PX", keepMs)
  return { "busy" }
end
-- Later than whatever was asked for before it, also when the clock went back: the lowest score was asked for last.
local due = math.max(math.floor(nowUs / 1000), 1 - tonumber(first[2] or 0))
redis.call("ZADD", waiting, string.format("%.0f", -due), id)
redis.call("SET", answer, "queued", "PX", keepMs)
return { "queued" }
