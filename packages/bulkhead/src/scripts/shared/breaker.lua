--[[
breaker: reads the shared state of a breaker.

Needs
  nowUs  from time
  state  key of the record
Gives
  newerFormat                   the format of a record of a newer version, or nil
  word, lastToken, leftUs       "open", "closed" or false; token or false; how long it stays open, 0 when it waits for a probe
  lastOperation                 id of the request that wrote it
  probe, probeEndUs             who has the right to probe and until when, or false
  probeForUs                    how long that right was given for, false when an older version gave it
  clockWentBack                 it would stay open for longer than it was opened for
  write(word, openUs, id, keepMs)  writes another state under lastToken, to be remembered for so long; nobody probes it
]]
local fields = redis.call("HMGET", state, "format", "state", "token", "untilUs", "openUs", "operation", "probe", "probeEndUs", "probeUs")
local newerFormat = fields[1] and fields[1] ~= "1" and fields[1] or nil
local word, lastToken, lastOperation = fields[2], fields[3], fields[6]
local probe, probeEndUs, probeForUs = fields[7], tonumber(fields[8] or "0"), fields[9] and tonumber(fields[9])
local untilUs, openedForUs = tonumber(fields[4] or "0"), tonumber(fields[5] or "0")
local clockWentBack = untilUs - nowUs > openedForUs
local leftUs = math.min(math.max(0, untilUs - nowUs), openedForUs)
local function write(newWord, openUs, id, keepMs)
  redis.call("HDEL", state, "probe", "probeEndUs", "probeUs")
  local untilText, openText = string.format("%.0f", nowUs + openUs), string.format("%.0f", openUs)
  redis.call("HSET", state, "format", "1", "state", newWord, "token", lastToken, "operation", id)
  redis.call("HSET", state, "untilUs", untilText, "openUs", openText)
  local expiresMs = math.floor(math.max(nowUs, tonumber(lastToken)) / 1000) + keepMs
  redis.call("PEXPIREAT", state, string.format("%.0f", expiresMs))
end
