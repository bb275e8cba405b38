--[[
force-release: ends whatever lease there is and burns a token, which is higher than every one granted (K5). All waiters are told to look.

KEYS
  lease  STRING  the record
  queue  ZSET    waiters; its name is also the channel of their hints
ARGV
  notAfterUs   bound in server time (K1)
  operationId  names this release; a repeat gets the same token
  retentionMs  how long the record outlives the token
  publish      PUBLISH or SPUBLISH
REPLIES
  {"burned", token}    nobody holds it
  {"newer-format", n}  the record is of a newer version
  {"too-late", now}    nothing was done
]]
local lease, queue = KEYS[1], KEYS[2]
local notAfterUs, operationId, retentionMs, publish = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]

-- @include time
-- @include bound
-- @include token
-- @include record
if newerFormat then
  return { "newer-format", newerFormat }
end
if holder == operationId then
  return { "burned", token }
end
local burned = nextToken(token)
write(burned, none, terms, flag, operationId)
redis.pcall(publish, queue, "*")
return { "burned", burned }
