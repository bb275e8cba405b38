--[[
open: tells all processes that a dependency is down. Evidence that is older than the last closing is not believed: whoever has it has
not heard that the dependency is well again.

KEYS
  state  HASH  format, state, token, untilUs, operation; probe, probeEndUs, probeUs; its name is also the channel of the hints
ARGV
  notAfterUs   bound in server time (K1)
  operation    random id of this request
  seen         token of the last state that this process knows, "0" for none
  openUs       how long it stays open
  retentionMs  how long the last token outlives itself as a time
  publish      PUBLISH or SPUBLISH
REPLIES
  {"open", token, leftUs}    it is open; 0 left means that it waits for a probe
  {"closed", token}          it was closed meanwhile
  {"newer-format", format}   the record is of a newer version
  {"too-late", nowText}    nothing was done
]]
local state = KEYS[1]
local notAfterUs, operation, seen, openUs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local retentionMs, publish = tonumber(ARGV[5]), ARGV[6]

-- @include time
-- @include bound
-- @include token
-- @include breaker
if newerFormat then
  return { "newer-format", newerFormat }
end
if lastOperation ~= operation then
  if word == "closed" and lastToken > seen then
    return { "closed", lastToken }
  end
  if word == "open" and leftUs > 0 then
    return { "open", lastToken, leftUs }
  end
  -- Whoever knows a newer token than is kept here has seen what was lost.
  lastToken = nextToken((lastToken and lastToken > seen) and lastToken or seen ~= "0" and seen)
  leftUs = openUs
  write("open", openUs, operation, retentionMs)
  redis.pcall(publish, state, lastToken)
end
return { "open", lastToken, leftUs }
