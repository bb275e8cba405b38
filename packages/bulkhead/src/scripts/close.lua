--[[
close: tells all processes that the probes of this one have succeeded.

KEYS
  state  HASH  as in open; its name is also the channel of the hints
ARGV
  notAfterUs   bound in server time (K1)
  operation    random id with which this process got the right to probe
  token        of the state that was probed
  retentionMs  how long the last token outlives itself as a time
  publish      PUBLISH or SPUBLISH
REPLIES
  {"closed", token}          it is closed
  {"open", token, leftUs}    it was opened anew meanwhile, or another process probes now
  {"newer-format", format}   the record is of a newer version
  {"too-late", nowText}    nothing was done
]]
local state = KEYS[1]
local notAfterUs, operation, token = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local retentionMs, publish = tonumber(ARGV[4]), ARGV[5]

-- @include time
-- @include bound
-- @include token
-- @include breaker
if newerFormat then
  return { "newer-format", newerFormat }
end
if word ~= "open" then
  return { "closed", lastToken or "0" }
end
if lastToken ~= token or probe ~= operation then
  return { "open", lastToken, leftUs }
end
lastToken = nextToken(lastToken)
write("closed", 0, operation, retentionMs)
redis.pcall(publish, state, lastToken)
return { "closed", lastToken }
