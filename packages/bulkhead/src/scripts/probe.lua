--[[
probe: asks for the right to probe a dependency that has been open long enough. One process at a time has it.

KEYS
  state  HASH  as in open
ARGV
  notAfterUs  bound in server time (K1)
  operation   random id of this request
  probeUs     how long the right lasts
REPLIES
  {"granted", token}         this process probes now
  {"open", token, leftUs}    not yet, or another process probes: ask again in so many microseconds
  {"closed", token}          the dependency is well
  {"newer-format", format}   the record is of a newer version
  {"too-late", nowText}    nothing was done
]]
local state = KEYS[1]
local notAfterUs, operation, probeUs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])

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
if clockWentBack then
  -- It counts from now on (K8).
  redis.call("HSET", state, "untilUs", string.format("%.0f", nowUs + leftUs))
end
if leftUs > 0 then
  return { "open", lastToken, leftUs }
end
if probe and probe ~= operation then
  -- The clock went back: nobody has the right for longer than it lasts (K8).
  local busyUs = probeEndUs - nowUs
  if busyUs > 0 and busyUs <= probeUs then
    return { "open", lastToken, busyUs }
  end
end
redis.call("HSET", state, "probe", operation, "probeEndUs", string.format("%.0f", nowUs + probeUs))
return { "granted", lastToken }
