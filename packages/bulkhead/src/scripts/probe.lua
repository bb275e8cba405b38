--[[
probe: asks for the right to probe a dependency that has been open long enough. One process at a time has it. Whoever asks has been open
himself: when nothing newer than what he knows is recorded, his opening never came here or was lost, and is recorded now.

KEYS
  state  HASH  as in open
ARGV
  notAfterUs   bound in server time (K1)
  operation    random id of this request
  seen         token of the last state that this process knows, "0" for none
  probeUs      how long the right lasts
  retentionMs  how long the last token outlives itself as a time
  publish      PUBLISH or SPUBLISH
REPLIES
  {"granted", token}         this process probes now
  {"open", token, leftUs}    not yet, or another process probes: ask again in so many microseconds
  {"closed", token}          it was closed after all that this process knows: the dependency is well
  {"newer-format", format}   the record is of a newer version
  {"too-late", nowText}    nothing was done
]]
local state = KEYS[1]
local notAfterUs, operation, seen, probeUs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local retentionMs, publish = tonumber(ARGV[5]), ARGV[6]

-- @include time
-- @include bound
-- @include token
-- @include breaker
if newerFormat then
  return { "newer-format", newerFormat }
end
if word ~= "open" then
  if lastToken and lastToken > seen then
    return { "closed", lastToken }
  end
  -- Nothing newer is known here, so the token that he knows is the last one.
  lastToken = nextToken(seen ~= "0" and seen)
  write("open", 0, operation, retentionMs)
  redis.pcall(publish, state, lastToken)
  leftUs, clockWentBack, probe = 0, false, false
end
if clockWentBack then
  -- It counts from now on (K8).
  redis.call("HSET", state, "untilUs", string.format("%.0f", nowUs + leftUs))
end
if leftUs > 0 then
  return { "open", lastToken, leftUs }
end
if probe and probe ~= operation then
  -- The clock went back: nobody has the right for longer than it lasts (K8). His right may be longer than that of whoever asks.
  local busyUs = probeEndUs - nowUs
  if busyUs > 0 and busyUs <= (probeForUs or probeUs) then
    return { "open", lastToken, busyUs }
  end
end
local endText, probeText = string.format("%.0f", nowUs + probeUs), string.format("%.0f", probeUs)
redis.call("HSET", state, "probe", operation, "probeEndUs", endText, "probeUs", probeText)
return { "granted", lastToken }
