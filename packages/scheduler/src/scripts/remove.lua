--[[
remove: takes a job out. Its version stays on record for a while, so that replicas that still know the job do not bring it back; a higher
version does.

KEYS
  state    HASH    the record
  waiting  ZSET    occurrence id → when it was due in ms
  history  LIST    records of what has ended
  answer   STRING  what this operation was answered
ARGV
  notAfterUs  bound in server time
  keepMs      how long an answer is remembered
  buriedMs    how long the version is remembered
REPLIES
  {"format", format}
  {"too-late", now}
  {"removed", next, open}  the occurrence that was next, in ms, and the one under way, or ""; 0 and "" for a repeat when there is a job
                           of this name again
  {"absent"}
]]
local state, waiting, history, answer = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, keepMs, buriedMs = tonumber(ARGV[1]), ARGV[2], ARGV[3]
-- @include time
-- @include bound
-- @include job
local answered = redis.call("GET", answer)
if answered == "removed" then
  -- What was defined since then is none of this operation's.
  return { "removed", job.removed and job.next or "0", job.removed and job.open or "" }
elseif answered or not job.format or job.removed then
  redis.call("SET", answer, "absent", "PX", keepMs)
  return { "absent" }
end
redis.call("DEL", waiting, history)
redis.call("HDEL", state, "definition", "paused")
redis.call("HSET", state, "removed", "1")
redis.call("PEXPIRE", state, buriedMs)
redis.call("SET", answer, "removed", "PX", keepMs)
return { "removed", job.next, job.open or "" }
