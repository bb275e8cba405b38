--[[
apply-unbounded: apply without the bound, to show what the bound prevents.

KEYS
  count   STRING  the counter
  record  STRING  what the operation answered
ARGV
  notAfterUs   ignored
  operationId  names the record in the reply
REPLIES
  {"applied", count, operationId}  the count after this operation
]]
local count, record = KEYS[1], KEYS[2]
local operationId = ARGV[2]
local first = redis.call("GET", record)
if first then
  return { "applied", first, operationId }
end
local after = redis.call("INCR", count)
redis.call("SET", record, after, "PX", "60000")
return { "applied", after, operationId }
