--[[
grant: hands out the next token (K5).

KEYS
  last  STRING  the last token
ARGV
  notAfterUs   bound in server time
  retentionMs  how long the token is remembered after its own time
REPLIES
  {"granted", token}
  {"too-late", nowText}  nothing was done
]]
local last = KEYS[1]
local notAfterUs, retentionMs = tonumber(ARGV[1]), tonumber(ARGV[2])
-- @include time
-- @include token
-- @include bound
local token = nextToken(redis.call("GET", last))
redis.call("SET", last, token, "PXAT", string.format("%.0f", token / 1000 + retentionMs))
return { "granted", token }
