--[[
enqueue: adds an occurrence that was asked for by hand; it goes before what waits. A repeat of the same operation gets the first answer.

KEYS
  state    HASH    the record
  waiting  ZSET    occurrence id → when it was due in ms; negative here, so that it comes first
  answer   STRING  what this operation was answered
ARGV
  notAfterUs  bound in server time
  keepMs      how long an answer is remembered
  id          the occurrence
  overlap     "skip" or "queue"
  waitingMax  most occurrences that wait
REPLIES
  {"format", format}
  {"too-late", now}
  {"queued"}
  {"busy"}   a run is under way and overlap is skip, or too many wait
  {"absent"}
]]
local state, waiting, answer = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, keepMs, id, overlap, waitingMax = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
-- @include time
-- @include bound
-- @include job
local answered = redis.call("GET", answer)
if answered then
  return { answered }
elseif not job.format or job.removed then
  return { "absent" }
end
local count = redis.call("ZCARD", waiting)
local busy = job.open or count > 0 or tonumber(job.held or 0) > nowUs
if count >= waitingMax or (busy and overlap == "skip") then
  redis.call("SET", answer, "busy", "PX", keepMs)
  return { "busy" }
end
redis.call("ZADD", waiting, string.format("%.0f", -math.floor(nowUs / 1000)), id)
redis.call("SET", answer, "queued", "PX", keepMs)
return { "queued" }
