--[[
tell: writes, then hints; the hint comes last and through pcall (K4).

KEYS
  value    STRING   what is written
  channel  channel  where the hint goes
ARGV
  notAfterUs  bound in server time
  publish     PUBLISH or SPUBLISH
  text        what is written and told
REPLIES
  {"told"}
  {"too-late", nowText}  nothing was done
]]
local value, channel = KEYS[1], KEYS[2]
local notAfterUs, publish, text = tonumber(ARGV[1]), ARGV[2], ARGV[3]
-- @include time
-- @include bound
redis.call("SET", value, text)
redis.pcall(publish, channel, text)
return { "told" }
