--[[
apply: adds one to a counter, once per operation (K1).

KEYS
  count   STRING  the counter
  record  STRING  what the operation answered
ARGV
  notAfterUs   bound in server time
  operationId  names the record in the reply
REPLIES
  {"applied", count, operationId}  the count after this operation
  {"too-late", nowText}            nothing was done
]]
local count, record = KEYS[1], KEYS[2]
local notAfterUs, operationId = tonumber(ARGV[1]), ARGV[2]
-- @include time
local first = redis.call("GET", record)
if first then
  return { "applied", first, operationId }
end
-- @include bound
local after = redis.call("INCR", count)
redis.call("SET", record, after, "PXAT", string.format("%.0f", notAfterUs / 1000 + 60000))
return { "applied", after, operationId }
