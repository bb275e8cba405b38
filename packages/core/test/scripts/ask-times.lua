--[[
ask-times: answers the times that the connection filled in.

KEYS
  any  STRING  unused
ARGV
  notAfterUs  bound in server time
  sentUs      server time no later than the moment the caller asked
REPLIES
  {"times", notAfterUs, sentUs, nowText}
  {"too-late", nowText}
]]
local notAfterUs, sentUs = tonumber(ARGV[1]), tonumber(ARGV[2])
-- @include time
-- @include bound
return { "times", string.format("%.0f", notAfterUs), string.format("%.0f", sentUs), nowText }
