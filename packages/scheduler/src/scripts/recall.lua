--[[
recall: reads the history of a job.

KEYS
  state    HASH  the record
  history  LIST  records of what has ended, the latest first
ARGV
  limit  most records
REPLIES
  {"format", format}
  {"absent"}
  {"history", definition, records}
]]
local state, history = KEYS[1], KEYS[2]
local limit = tonumber(ARGV[1])
-- @include job
if not job.format or job.removed then
  return { "absent" }
end
return { "history", job.definition, redis.call("LRANGE", history, 0, limit - 1) }
