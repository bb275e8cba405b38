--[[
define: puts a definition on record, if its version is higher than what is there (C5). Not while an occurrence of the old one is due: it
is decided by the old definition first. Where that cannot be done, since too many wait, the new one begins with it. Safe to repeat: then the
version is no longer higher.

KEYS
  state    HASH  the record
  waiting  ZSET  occurrence id → when it was due in ms
ARGV
  notAfterUs  bound in server time
  version     of the definition
  definition  JSON
  expected    next occurrence on record as the caller knows it, in ms; "" for none
  next        first occurrence of this definition, in ms
  from        the moment after which that is its first, in ms
  waitingMax  most occurrences that wait
REPLIES
  {"format", format}
  {"too-late", now}
  {"defined"}
  {"kept"}   what is on record has this version or a higher one
  {"moved"}  an occurrence is due or was decided meanwhile: look again
]]
local state, waiting = KEYS[1], KEYS[2]
local notAfterUs, version, definition, expected, next = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local from, waitingMax = tonumber(ARGV[6]), tonumber(ARGV[7])
-- @include time
-- @include bound
-- @include job
if job.version and tonumber(job.version) >= tonumber(version) then
  return { "kept" }
end
local live = job.format and not job.removed
local full = redis.call("ZCARD", waiting) >= waitingMax
if live and job.next ~= expected then
  return { "moved" }
end
if live and not job.paused and tonumber(job.next) * 1000 <= nowUs and not (full and from < tonumber(job.next)) then
  return { "moved" }
end
if tonumber(next) <= tonumber(job.cursor or 0) then
  return { "moved" }
end
if job.removed then
  redis.call("HDEL", state, "removed", "open", "openDue", "attempts", "runner", "started", "held", "failure")
end
redis.call("HSET", state, "format", "1", "version", version, "definition", definition, "next", next)
redis.call("HSETNX", state, "cursor", "0")
redis.call("PERSIST", state)
return { "defined" }
