--[[
finish: records that an occurrence has ended, once: only for the delivery that began it, or for a later one that found no attempt left
(C1). Safe to repeat: the token of the last ending is remembered, and earlier ones stand in the history.

KEYS
  state    HASH  the record
  waiting  ZSET  occurrence id → when it was due in ms
  history  LIST  records of what has ended, the latest first
ARGV
  notAfterUs  bound in server time
  id          the occurrence
  token       of the delivery
  verb        "ended", or "exhausted" when no attempt was left
  record      for the history
  historyMax  most records of history
REPLIES
  {"format", format}
  {"too-late", now}
  {"recorded", head}  head: the occurrence that waits next, or ""
  {"lost"}            a later delivery has begun, or it has ended otherwise
]]
local state, waiting, history = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, id, token, verb = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local record, historyMax = ARGV[5], tonumber(ARGV[6])
-- @include time
-- @include bound
-- @include job
-- @include head
local nextId = head[1] or ""
if job.finished == token or (job.open ~= id and redis.call("LPOS", history, record)) then
  return { "recorded", nextId }
elseif job.open ~= id or job.removed then
  return { "lost" }
elseif verb == "ended" and job.token ~= token then
  return { "lost" }
elseif verb ~= "ended" and tonumber(token) <= tonumber(job.token) then
  return { "lost" }
end
redis.call("LLEN", history)
redis.call("HDEL", state, "open", "openDue", "attempts", "runner", "failure")
redis.call("HSET", state, "token", token, "finished", token)
redis.call("LPUSH", history, record)
redis.call("LTRIM", history, 0, historyMax - 1)
return { "recorded", nextId }
