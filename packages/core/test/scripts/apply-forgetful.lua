--[[
apply-forgetful: apply whose record is gone before the bound has passed and whose bound comes first, to show what a repeat then does.

KEYS
  count   STRING  the counter
  record  STRING  unused
ARGV
  notAfterUs   bound in server time
  operationId  unused
REPLIES
  {"applied", count, operationId}  the count after this operation
  {"too-late", nowText}            nothing was done
]]
local count = KEYS[1]
local notAfterUs, operationId = tonumber(ARGV[1]), ARGV[2]
-- @include time
-- @include bound
return { "applied", redis.call("INCR", count), operationId }
