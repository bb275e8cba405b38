--[[
leave: a process gives back all its permits and is gone.

KEYS
  pods  HASH  as in sync; its name is also the channel of the hints
ARGV
  notAfterUs  bound in server time (K1)
  pod         random id of the process
  token       of the lease it gives back
  publish     PUBLISH or SPUBLISH
REPLIES
  {"left"}    its permits are free
  {"absent"}  it holds no lease of this token
  {"too-late", nowText}nothing was done
]]
local pods = KEYS[1]
local notAfterUs, pod, token, publish = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

-- @include time
-- @include bound
local text = redis.call("HGET", pods, pod)
if not text or string.match(text, "^%d+ %d+ %d+ (%d+) ") ~= token then
  return { "absent" }
end
redis.call("HDEL", pods, pod)
redis.pcall(publish, pods, "take " .. pod)
return { "left" }
