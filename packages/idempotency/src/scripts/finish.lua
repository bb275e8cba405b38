--[[
finish: stores the outcomes of some attempts together with the state of their keys. Only the attempt that the record names may do so, and
what is stored never changes (I2). A repeat gets its first answer (K1). A record that Redis has lost is made again, as long as its token is
younger than the tombstone that `forget` would have left. The outcomes do not depend on each other, so each has its guards before its own
writes.

KEYS
  places...  two for each outcome
    STRING  the key's record, and the channel of the hints to those who wait
    ZSET    the index of unfinished keys that lists it
ARGV
  notAfterUs   the bound in server time
  retentionMs  how long the outcomes are kept
  publish      PUBLISH, or SPUBLISH on a Cluster
  outcomes...  three for each outcome
    attempt  token, fingerprint, owner, number, recovered and rule, as the record has them
    state    completed or failed
    result   how it is encoded, a colon, and its bytes
REPLIES
  {"finished", outcome, ...}  one for each outcome
    stored
    refused state token
    newer-format version
    alone                     this outcome fails, as it will say when it comes alone
  {"too-late", now}
]]
local notAfterUs, retentionMs, publish, fixedArgs, lone = tonumber(ARGV[1]), ARGV[2], ARGV[3], 3, #KEYS == 2
-- @include time
-- @include bound
-- @include record
-- @include expiry

local function finish(record, index, attempt, outcome, result)
  local text = redis.pcall("GET", record)
  local token, owner = string.match(attempt, "^(%d+):[^:]*:([^:]*):")
  local kept
  if type(text) == "table" then
    return text
  elseif text then
    local version, state, last, _, holder = headOf(text)
    if not version then
      local newer = newerFormat(text)
      return newer and "newer-format " .. newer or { err = notRecord }
    end
    if state == outcome and holder == owner then
      return "stored"
    end
    if state ~= "running" or holder ~= owner then
      local stored = unpackRecord(text)
      if not stored then
        return { err = notRecord }
      end
      refuse(record, stored)
      return "refused " .. state .. " " .. last
    end
    -- All that stands between the state and the end of the attempt.
    token, kept = last, string.sub(text, #"1:running:" + 1, -3)
  else
    kept = attempt .. "::::0::"
    if token + math.min(retentionMs, rebuildMs) * 1000 <= nowUs then
      return "refused absent 0"
    end
  end
  -- Frees memory, so that what follows is allowed when it is out (K3): Redis judges the first write of a script.
  local unlisted = redis.pcall("ZREM", index, memberOf(record))
  if type(unlisted) == "table" then
    return unlisted
  end
  local number, operations = string.match(kept, "^%d+:[^:]*:[^:]*:(%d+):%d:%l*:%d*:%d*:%d*:%d+:([^:]*):$")
  kept = "1:" .. outcome .. ":" .. kept .. nowText .. ":" .. result
  if touched(number, operations) or token > nowText then
    redis.call("SET", record, kept, "PXAT", keptUntil(record, token, touched(number, operations), retentionMs))
  else
    redis.call("SET", record, kept, "PX", retentionMs)
  end
  redis.pcall(publish, record, "")
  return "stored"
end

local outcomes = { "finished" }
for position = 1, #KEYS / 2 do
  local key, from = 2 * position - 1, fixedArgs + 3 * position - 2
  local outcome = finish(KEYS[key], KEYS[key + 1], ARGV[from], ARGV[from + 1], ARGV[from + 2])
  if type(outcome) == "table" then
    if lone then
      return outcome
    end
    outcome = "alone"
  end
  outcomes[position + 1] = outcome
end
return outcomes
