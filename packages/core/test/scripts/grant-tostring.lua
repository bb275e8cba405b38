--[[
grant-tostring: grant with Lua's own conversion and a plain ttl, to show the tokens that become equal and the token that goes back.

KEYS
  last  STRING  the last token
ARGV
  notAfterUs   bound in server time
  retentionMs  how long the token is remembered from now
REPLIES
  {"granted", token}
]]
local last = KEYS[1]
local retentionMs = ARGV[2]
-- @include time
local known = tonumber(redis.call("GET", last) or "0")
local token = tostring(math.max(known + 1, nowUs))
redis.call("SET", last, token, "PX", retentionMs)
return { "granted", token }
