--[[
steer: pauses or resumes a job. A repeat of the same operation gets the first answer, whatever others did meanwhile (K1).

KEYS
  state   HASH    the record
  answer  STRING  what this operation was answered
ARGV
  notAfterUs  bound in server time
  keepMs      how long an answer is remembered
  verb        "pause" or "resume"
  expected    for resume: the occurrence that is next on record, in ms; for pause: the same when it is due and too many wait, or ""
  next        for resume: the first occurrence from now on, in ms; for pause: up to when what is due has to be decided, in ms
REPLIES
  {"format", format}
  {"too-late", now}
  {"paused"}
  {"resumed"}
  {"absent"}
  {"moved"}  the record was changed meanwhile, or an occurrence was due that a pause would pass over: look again
]]
local state, answer = KEYS[1], KEYS[2]
local notAfterUs, keepMs, verb, expected, next = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
-- @include time
-- @include bound
-- @include job
local answered = redis.call("GET", answer)
if answered then
  return { answered }
elseif not job.format or job.removed then
  redis.call("SET", answer, "absent", "PX", keepMs)
  return { "absent" }
end
if verb == "pause" then
  -- What passed before the pause was asked for is decided before it, as C2 says.
  if not job.paused and job.next ~= expected and tonumber(job.next) <= tonumber(next) then
    return { "moved" }
  end
  redis.call("HSET", state, "paused", "1")
  redis.call("SET", answer, "paused", "PX", keepMs)
  return { "paused" }
end
if job.paused then
  if job.next ~= expected or tonumber(next) <= tonumber(job.cursor) then
    return { "moved" }
  end
  redis.call("HDEL", state, "paused")
  redis.call("HSET", state, "next", next)
end
redis.call("SET", answer, "resumed", "PX", keepMs)
return { "resumed" }
