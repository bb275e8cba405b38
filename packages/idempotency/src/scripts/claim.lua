--[[
claim: starts the next attempt of some keys, or says for each why there is none to start. A repeat by the same owner gets its first answer
(K1). A key whose attempt has outlived its lease is taken over under a higher token (K5), unless it stays closed until it is resolved. The
claims do not depend on each other, so each has its guards before its own writes; but that a key is unknown, as most are, is found by the
write that claims it, which is taken back when the key cannot be listed.

KEYS
  places...  two for each claim, three when they are held
    STRING  the key's record
    ZSET    the index of unfinished keys that is to list it, by the start of its attempt in microseconds
    ZSET    the other index, which may list it when it was claimed under the other rule
ARGV
  notAfterUs  the bound in server time
  leaseUs     length of the lease
  keepMs      how long the keys are remembered: the lease and the retention
  indexMs     how long an unfinished key is listed
  onUnknown   recover or hold
  claims...   one for each claim, as the record has them: the fingerprint of the payload, or nothing when payloads are not compared, a colon,
    and the owner, which names this claim and the attempt that it may start
REPLIES
  {"granted", token}         to each of them its first attempt, under this token
  {"claimed", outcome, ...}  one for each claim
    granted token number recovered  recovered is 1 when an earlier attempt may have had an effect
    the record                      of an attempt that has completed or failed
    mismatch
    busy remainingMs
    unknown
    newer-format version
    alone                           this claim fails, or its record is too long for one answer with others: it is to come alone
  {"too-late", now}
]]
local notAfterUs, leaseUs, keepMs, indexMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local onUnknown, fixedArgs, lone = ARGV[5], 5, #ARGV == 6
local keysEach = onUnknown == "hold" and 3 or 2
-- Bytes of records that one answer may hold when it is for many: all of them are in memory at the same time.
local room = 1048576
-- @include time
-- @include bound
-- @include token
-- @include record
-- @include expiry
-- @include lease
-- @include listing

-- What the records of all attempts that start now have in common.
local begun = ":" .. onUnknown .. ":" .. nowText .. ":" .. nowText .. ":" .. leaseUs .. ":"
local firstHead, firstTail = "1:running:" .. nowText .. ":", ":1:0" .. begun .. "0::::"
local firstKeptUntil, firstGranted = string.format("%.0f", math.floor(nowUs / 1000) + keepMs), "granted " .. nowText .. " 1 0"

-- Answers nothing when the key is unknown, and the first attempt has it then; else what is there, or the error.
local function writeFirst(record, claimed)
  local text = firstHead .. claimed .. firstTail
  if onUnknown == "hold" then
    return redis.pcall("SET", record, text, "NX", "GET")
  end
  return redis.pcall("SET", record, text, "PXAT", firstKeptUntil, "NX", "GET")
end

local function grantNext(record, index, otherIndex, claimed, before)
  local token, number = nextToken(before.token), string.format("%.0f", before.number + 1)
  -- Who has no payload to compare does not make the key forget the one that it was used with.
  if string.sub(claimed, 1, 1) == ":" then
    claimed = before.print .. claimed
  end
  -- A growing write comes first: when memory is out nothing is claimed.
  local failed = listUnfinished(record, index, otherIndex)
  if failed then
    return failed
  end
  local text = "1:running:" .. token .. ":" .. claimed .. ":" .. number .. ":" .. before.possible .. begun .. before.refused
    .. ":" .. before.operations .. ":::"
  if onUnknown == "hold" then
    redis.call("SET", record, text)
  else
    redis.call("SET", record, text, "PXAT", keptUntil(record, token, true, keepMs))
  end
  return "granted " .. token .. " " .. number .. " " .. before.possible
end

local function claim(record, index, otherIndex, claimed)
  local text = writeFirst(record, claimed)
  if not text then
    local failed = listUnfinished(record, index, otherIndex)
    if failed then
      redis.call("DEL", record)
      return failed
    end
    return firstGranted
  end
  if type(text) == "table" then
    -- When memory is out nothing is claimed, and who only asks is answered (K3).
    local refused = text
    text = redis.pcall("GET", record)
    if not text then
      return refused
    end
    if type(text) == "table" then
      return text
    end
  end
  local version, state, token, known, holder = headOf(text)
  if not version then
    local newer = newerFormat(text)
    return newer and "newer-format " .. newer or { err = notRecord }
  end
  local print, owner = string.match(claimed, "^([^:]*):(.*)$")
  if holder == owner and (state == "running" or state == "released") then
    local stored = unpackRecord(text)
    return stored and "granted " .. token .. " " .. stored.number .. " " .. stored.possible or { err = notRecord }
  end
  -- Another payload is told so whether or not the key is busy (I3).
  if known ~= print and known ~= "" and print ~= "" then
    return "mismatch"
  end
  if state == "completed" or state == "failed" then
    if #text > room and not lone then
      return "alone"
    end
    room = room - #text
    return text
  end
  local stored = unpackRecord(text)
  if not stored then
    return { err = notRecord }
  end
  if state == "unknown" and stored.rule == "hold" then
    return "unknown"
  end
  if state == "running" or state == "unknown" then
    local leftUs = remainingUs(record, stored)
    if leftUs > 0 then
      return "busy " .. string.format("%.0f", math.ceil(leftUs / 1000))
    end
    if stored.rule == "hold" then
      return "unknown"
    end
    stored.possible = "1"
  end
  return grantNext(record, index, otherIndex, claimed, stored)
end

local outcomes, alike = { "claimed" }, true
for position = 1, #ARGV - fixedArgs do
  local at = (position - 1) * keysEach
  local outcome = claim(KEYS[at + 1], KEYS[at + 2], KEYS[at + keysEach], ARGV[fixedArgs + position])
  if type(outcome) == "table" then
    if lone then
      return outcome
    end
    outcome = "alone"
  end
  outcomes[position + 1] = outcome
  alike = alike and outcome == firstGranted
end
return alike and { "granted", nowText } or outcomes
