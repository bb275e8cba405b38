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
    attempt  token, fingerprint, owner, number, recovered and rule, as the record has them, each with the colon after it
    state    completed or failed
    result   how it is encoded, a colon, and its bytes
REPLIES
  {"stored"}                  all of them
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

local running = "1:running:"
local firstKeptUntil = string.format("%.0f", math.floor(nowUs / 1000) + retentionMs)

-- A first attempt whose record is as it was claimed, or renewed: its token is in the past, and nobody else has been there.
local function isFirst(text, attempt)
  return string.sub(text, 1, #running) == running and string.sub(text, #running + 1, #running + #attempt) == attempt
    and (string.sub(attempt, -13) == ":1:0:recover:" or string.sub(attempt, -10) == ":1:0:hold:")
    and string.sub(text, -4) == "::::" and attempt < nowText
end

-- What is kept of the record, all that stands between the state and the end of the attempt, and until when; or nothing, and the answer.
local function examine(record, text, attempt, outcome)
  local token, owner = string.match(attempt, "^(%d+):[^:]*:([^:]*):")
  local kept
  if text then
    local version, state, last, _, holder = headOf(text)
    if not version then
      local newer = newerFormat(text)
      return nil, newer and "newer-format " .. newer or { err = notRecord }
    end
    if state == outcome and holder == owner then
      return nil, "stored"
    end
    if state ~= "running" or holder ~= owner then
      local stored = unpackRecord(text)
      if not stored then
        return nil, { err = notRecord }
      end
      refuse(record, stored)
      return nil, "refused " .. state .. " " .. last
    end
    token, kept = last, string.sub(text, #running + 1, -3)
  else
    kept = attempt .. ":::0::"
    if token + math.min(retentionMs, rebuildMs) * 1000 <= nowUs then
      return nil, "refused absent 0"
    end
  end
  local number, operations = string.match(kept, "^%d+:[^:]*:[^:]*:(%d+):%d:%l*:%d*:%d*:%d*:%d+:([^:]*):$")
  return kept, keptUntil(record, token, touched(number, operations), retentionMs)
end

local function finish(record, index, attempt, outcome, result)
  local text = redis.pcall("GET", record)
  if type(text) == "table" then
    return text
  end
  local kept, untilMs
  if text and isFirst(text, attempt) then
    kept, untilMs = string.sub(text, #running + 1, -3), firstKeptUntil
  else
    kept, untilMs = examine(record, text, attempt, outcome)
    if not kept then
      return untilMs
    end
  end
  -- Frees memory, so that what follows is allowed when it is out (K3): Redis judges the first write of a script.
  local unlisted = redis.pcall("ZREM", index, memberOf(record))
  if type(unlisted) == "table" then
    return unlisted
  end
  redis.call("SET", record, "1:" .. outcome .. ":" .. kept .. nowText .. ":" .. result, "PXAT", untilMs)
  redis.pcall(publish, record, "")
  return "stored"
end

local outcomes, alike = { "finished" }, true
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
  alike = alike and outcome == "stored"
end
return alike and { "stored" } or outcomes
