--[[
prune: takes a key out of the index whose record is gone. Safe to repeat.

KEYS
  record  STRING  the key's record
  index   ZSET    unfinished keys by the start of their attempt
ARGV
  notAfterUs  the bound in server time
  member      the key in the index
REPLIES
  {"pruned"}
  {"present"}
  {"too-late", now}
]]
local record, index = KEYS[1], KEYS[2]
local notAfterUs, member = tonumber(ARGV[1]), ARGV[2]
-- @include time
-- @include bound
if redis.call("EXISTS", record) == 1 then
  return { "present" }
end
redis.call("ZREM", index, member)
return { "pruned" }
