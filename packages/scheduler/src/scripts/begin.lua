--[[
begin: an attempt at an occurrence, for the delivery of its timer that has this token. One occurrence of a job runs at a time; one whose
runner vanished is begun again with a higher token while attempts last (C1). Safe to repeat: the same delivery gets the same attempt.

KEYS
  state    HASH  the record
  waiting  ZSET  occurrence id → when it was due in ms, negative when asked for by hand
ARGV
  notAfterUs   bound in server time
  id           the occurrence
  token        of the delivery
  runner       who runs it
  attemptsMax  most attempts
  atLeastUs    the run counts as under way for at least so long
REPLIES
  {"format", format}
  {"too-late", now}
  {"run", now, due, attempt}
  {"exhausted", now, due, attempts, runner, started, failure}  no attempt is left; runner and start of the last one, and the last failure
                                                               that its runner put on record, or ""
  {"held", ms}  the one before counts as under way for so long
  {"wait"}      another one goes first, or the job is paused
  {"lost"}      a later delivery has begun, or this one has left
  {"stale"}     it has ended, or was never admitted
]]
local state, waiting = KEYS[1], KEYS[2]
local notAfterUs, id, token, runner = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local attemptsMax, atLeastUs = tonumber(ARGV[5]), tonumber(ARGV[6])
-- @include time
-- @include bound
-- @include job
-- @include held
-- @include head
if not job.format or job.removed then
  return { "stale" }
elseif job.left == token then
  return { "lost" }
end
local score = redis.call("ZSCORE", waiting, id)
local due, attempt
if job.open == id then
  if job.token == token then
    return { "run", nowText, job.openDue, tonumber(job.attempts) }
  elseif tonumber(token) < tonumber(job.token) then
    return { "lost" }
  elseif tonumber(job.attempts) >= attemptsMax then
    return { "exhausted", nowText, job.openDue, tonumber(job.attempts), job.runner, job.started, job.failure or "" }
  end
  due, attempt = job.openDue, tonumber(job.attempts) + 1
elseif not score then
  return { "stale" }
elseif job.open or head[1] ~= id then
  return { "wait" }
elseif job.paused and tonumber(score) > 0 then
  return { "wait" }
elseif heldUs > 0 then
  if heldAnew then
    redis.call("HSET", state, unpack(heldAnew))
  end
  return { "held", math.ceil(heldUs / 1000) }
elseif tonumber(token) <= tonumber(job.token or 0) then
  return { "lost" }
else
  due, attempt = string.gsub(score, "^-", ""), 1
end
redis.call("ZREM", waiting, id)
redis.call(
  "HSET", state, "open", id, "openDue", due, "attempts", attempt, "token", token, "runner", runner,
  "started", nowText, "held", string.format("%.0f", nowUs + atLeastUs)
)
return { "run", nowText, due, attempt }
