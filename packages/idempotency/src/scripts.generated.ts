// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Starts the next attempt of some keys, or says for each why there is none to start. A repeat by the same owner gets its first answer (K1). A key whose attempt has outlived its lease is taken over under a higher token (K5), unless it stays closed until it is resolved. The claims do not depend on each other, so each has its guards before its own writes; but that a key is unknown, as most are, is found by the write that claims it, which is taken back when the key cannot be listed. */
export const claim = {
  name: "idempotency.claim",
  keys: [],
  restKeys: "places",
  args: ["notAfterUs", "leaseUs", "keepMs", "indexMs", "onUnknown"],
  rest: "claims",
  replies: ["granted", "claimed", "too-late"],
  sha1: "d49bd12563d67d6b44571fcba05c883f1215e7e0" as string,
  source: `local notAfterUs, leaseUs, keepMs, indexMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local onUnknown, fixedArgs, lone = ARGV[5], 5, #ARGV == 6
local keysEach = onUnknown == "hold" and 3 or 2
local room = 1048576
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16
local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end
local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end
local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end
local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end
local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end
local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end
local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end
local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
local rebuildMs = 86400000
local function touched(number, operations)
  return number ~= "1" or operations ~= ""
end
local function keptUntil(key, token, wasTouched, keepMs)
  local untilMs = math.floor(math.max(nowUs, token + 0) / 1000) + keepMs
  if wasTouched then
    local leftMs = redis.call("PTTL", key)
    local before = leftMs < 0 and math.floor(token / 1000) + rebuildMs or math.floor(nowUs / 1000) + leftMs
    untilMs = math.max(untilMs, before)
  end
  return string.format("%.0f", untilMs)
end
local function remainingUs(key, fields)
  local lengthUs = tonumber(fields.length) or 0
  local leftUs = (tonumber(fields.leased) or 0) + lengthUs - nowUs
  if leftUs > lengthUs then
    fields.leased = nowText
    redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
    return lengthUs
  end
  return leftUs
end
local function keepIndex(index)
  local longestMs = -(tonumber(redis.call("ZSCORE", index, "")) or 0)
  if longestMs < indexMs + 0 then
    longestMs = indexMs + 0
    redis.call("ZADD", index, string.format("%.0f", -longestMs), "")
  end
  redis.call("ZREMRANGEBYSCORE", index, 0, string.format("%.0f", nowUs - longestMs * 1000))
  redis.call("PEXPIRE", index, string.format("%.0f", longestMs + math.floor(longestMs / 8)))
end
local function listUnfinished(record, index, otherIndex)
  local listed = redis.pcall("ZADD", index, nowText, memberOf(record))
  if type(listed) == "table" then
    return listed
  end
  if onUnknown == "hold" then
    redis.pcall("ZREM", otherIndex, memberOf(record))
  elseif redis.call("PTTL", index) < indexMs + 0 then
    keepIndex(index)
  end
  return nil
end
local begun = ":" .. onUnknown .. ":" .. nowText .. ":" .. nowText .. ":" .. leaseUs .. ":"
local firstHead, firstTail = "1:running:" .. nowText .. ":", ":1:0" .. begun .. "0::::"
local firstKeptUntil, firstGranted = string.format("%.0f", math.floor(nowUs / 1000) + keepMs), "granted " .. nowText .. " 1 0"
local function writeFirst(record, claimed)
  local text = firstHead .. claimed .. firstTail
  if onUnknown == "hold" then
    return redis.pcall("SET", record, text, "NX", "GET")
  end
  return redis.pcall("SET", record, text, "PXAT", firstKeptUntil, "NX", "GET")
end
local function grantNext(record, index, otherIndex, claimed, before)
  local token, number = nextToken(before.token), string.format("%.0f", before.number + 1)
  if string.sub(claimed, 1, 1) == ":" then
    claimed = before.print .. claimed
  end
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
` as string,
} as const;

/** Stores the outcomes of some attempts together with the state of their keys. Only the attempt that the record names may do so, and what is stored never changes (I2). A repeat gets its first answer (K1). A record that Redis has lost is made again, as long as its token is younger than the tombstone that `forget` would have left. The outcomes do not depend on each other, so each has its guards before its own writes. */
export const finish = {
  name: "idempotency.finish",
  keys: [],
  restKeys: "places",
  args: ["notAfterUs", "retentionMs", "publish"],
  rest: "outcomes",
  replies: ["stored", "finished", "too-late"],
  sha1: "381351fddb4164f89a4b51b8162dc34976d39d91" as string,
  source: `local notAfterUs, retentionMs, publish, fixedArgs, lone = tonumber(ARGV[1]), ARGV[2], ARGV[3], 3, #KEYS == 2
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16
local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end
local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end
local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end
local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end
local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end
local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end
local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end
local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
local rebuildMs = 86400000
local function touched(number, operations)
  return number ~= "1" or operations ~= ""
end
local function keptUntil(key, token, wasTouched, keepMs)
  local untilMs = math.floor(math.max(nowUs, token + 0) / 1000) + keepMs
  if wasTouched then
    local leftMs = redis.call("PTTL", key)
    local before = leftMs < 0 and math.floor(token / 1000) + rebuildMs or math.floor(nowUs / 1000) + leftMs
    untilMs = math.max(untilMs, before)
  end
  return string.format("%.0f", untilMs)
end
local running = "1:running:"
local firstKeptUntil = string.format("%.0f", math.floor(nowUs / 1000) + retentionMs)
local function isFirst(text, attempt)
  return string.sub(text, 1, #running) == running and string.sub(text, #running + 1, #running + #attempt) == attempt
    and (string.sub(attempt, -13) == ":1:0:recover:" or string.sub(attempt, -10) == ":1:0:hold:")
    and string.sub(text, -4) == "::::" and attempt < nowText
end
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
` as string,
} as const;

/** Removes a key's outcome and leaves a tombstone with a token of its own (K5), over which no earlier attempt can write (I2). That an effect is possible is not forgotten (I8). A repeat gets its first answer (K1). */
export const forget = {
  name: "idempotency.forget",
  keys: ["record", "recovering", "held"],
  args: ["notAfterUs", "operationId", "retentionMs", "publish"],
  rest: null,
  replies: ["forgotten", "absent", "newer-format", "too-late"],
  sha1: "ddcbf7a5645453e4f36f49e7a1a5105e168a5436" as string,
  source: `local record, recovering, held = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, operationId, retentionMs, publish = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16
local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end
local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end
local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end
local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end
local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end
local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end
local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end
local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
local rebuildMs = 86400000
local function touched(number, operations)
  return number ~= "1" or operations ~= ""
end
local function keptUntil(key, token, wasTouched, keepMs)
  local untilMs = math.floor(math.max(nowUs, token + 0) / 1000) + keepMs
  if wasTouched then
    local leftMs = redis.call("PTTL", key)
    local before = leftMs < 0 and math.floor(token / 1000) + rebuildMs or math.floor(nowUs / 1000) + leftMs
    untilMs = math.max(untilMs, before)
  end
  return string.format("%.0f", untilMs)
end
local text = redis.call("GET", record)
local stored = text and unpackRecord(text)
if text and not stored then
  local version = newerFormat(text)
  if version then
    return { "newer-format", version }
  end
  return redis.error_reply(notRecord)
end
if recall(stored, "f", operationId) then
  return { "forgotten" }
end
if recall(stored, "a", operationId) then
  return { "absent" }
end
local answer, number, possible = "forgotten", "0", "0"
if not stored or stored.state == "forgotten" then
  answer = "absent"
end
if stored then
  number, possible = stored.number, stored.possible
  if stored.state ~= "forgotten" and stored.state ~= "released" then
    possible = "1"
  end
end
local token = nextToken(stored and stored.token)
local untilMs = keptUntil(record, token, true, retentionMs)
if not stored or stored.rule ~= "hold" then
  redis.call("ZREM", recovering, memberOf(record))
end
if not stored or stored.rule ~= "recover" then
  redis.call("ZREM", held, memberOf(record))
end
redis.call("DEL", record)
local tombstone = { state = "forgotten", token = token, print = "", owner = operationId, number = number, possible = possible,
  rule = "", begun = "", leased = "", length = "", refused = "0", operations = stored and stored.operations or "",
  ended = nowText, codec = "", result = "" }
remember(tombstone, answer == "absent" and "a" or "f", operationId)
redis.call("SET", record, packRecord(tombstone), "PXAT", untilMs)
redis.pcall(publish, record, "")
return { answer }
` as string,
} as const;

/** Ends an attempt whose outcome is unknown. The key stays closed: for one more lease when it is recovered, until it is resolved when it is held. A repeat gets its first answer (K1). */
export const hold = {
  name: "idempotency.hold",
  keys: ["record"],
  args: ["notAfterUs", "owner", "retentionMs", "publish"],
  rest: null,
  replies: ["unknown", "refused", "newer-format", "too-late"],
  sha1: "8b7d954450cce100973143cf020f6b1ab3128fc0" as string,
  source: `local record = KEYS[1]
local notAfterUs, owner, retentionMs, publish = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16
local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end
local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end
local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end
local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end
local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end
local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end
local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end
local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
local rebuildMs = 86400000
local function touched(number, operations)
  return number ~= "1" or operations ~= ""
end
local function keptUntil(key, token, wasTouched, keepMs)
  local untilMs = math.floor(math.max(nowUs, token + 0) / 1000) + keepMs
  if wasTouched then
    local leftMs = redis.call("PTTL", key)
    local before = leftMs < 0 and math.floor(token / 1000) + rebuildMs or math.floor(nowUs / 1000) + leftMs
    untilMs = math.max(untilMs, before)
  end
  return string.format("%.0f", untilMs)
end
local text = redis.call("GET", record)
local stored = text and unpackRecord(text)
if text and not stored then
  local version = newerFormat(text)
  if version then
    return { "newer-format", version }
  end
  return redis.error_reply(notRecord)
end
if not stored then
  return { "refused", "absent", "0" }
end
if recall(stored, "u", owner) then
  return { "unknown" }
end
if stored.state ~= "running" or stored.owner ~= owner then
  refuse(record, stored)
  return { "refused", stored.state, stored.token }
end
stored.state, stored.ended = "unknown", nowText
remember(stored, "u", owner)
stored.leased = nowText
local keepMs = math.floor(stored.length / 1000) + retentionMs
redis.call("PEXPIREAT", record, keptUntil(record, stored.token, touched(stored.number, stored.operations), keepMs))
if stored.rule == "hold" then
  redis.call("SET", record, packRecord(stored))
else
  redis.call("SET", record, packRecord(stored), "KEEPTTL")
end
redis.pcall(publish, record, "")
return { "unknown" }
` as string,
} as const;

/** Says what is known of a key. Changes nothing. */
export const inspect = {
  name: "idempotency.inspect",
  keys: ["record"],
  args: [],
  rest: null,
  replies: ["record", "absent", "newer-format"],
  sha1: "9f89b4052137b82fe7f1bfd76b6ce9a66afc57fd" as string,
  source: `local record = KEYS[1]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16
local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end
local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end
local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end
local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end
local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end
local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end
local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end
local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
local text = redis.call("GET", record)
local stored = text and unpackRecord(text)
if text and not stored then
  local version = newerFormat(text)
  if version then
    return { "newer-format", version }
  end
  return redis.error_reply(notRecord)
end
if not stored then
  return { "absent" }
end
local lengthUs = tonumber(stored.length) or 0
local leftUs = math.min((tonumber(stored.leased) or 0) + lengthUs - nowUs, lengthUs)
return { "record", stored.state, stored.token, stored.number, stored.possible, stored.begun, stored.ended,
  math.max(0, math.ceil(leftUs / 1000)), stored.rule, stored.codec, #stored.result, stored.refused, redis.call("PTTL", record) }
` as string,
} as const;

/** A page of unfinished keys, the oldest attempt first. Changes nothing. */
export const list = {
  name: "idempotency.list",
  keys: ["index"],
  args: ["fromUs", "olderThanMs", "countMax"],
  rest: null,
  replies: ["page"],
  sha1: "d19745f56404132ffba04b30affd0e352111fb0f" as string,
  source: `local index = KEYS[1]
local fromUs, olderThanMs, countMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
local untilUs = string.format("%.0f", nowUs - olderThanMs * 1000)
return { "page", redis.call("ZRANGEBYSCORE", index, fromUs, untilUs, "WITHSCORES", "LIMIT", 0, countMax) }
` as string,
} as const;

/** Takes a key out of the index whose record is gone. Safe to repeat. */
export const prune = {
  name: "idempotency.prune",
  keys: ["record", "index"],
  args: ["notAfterUs", "member"],
  rest: null,
  replies: ["pruned", "present", "too-late"],
  sha1: "8b5d3a32906ca2f7cdb64848a016d27c34876f48" as string,
  source: `local record, index = KEYS[1], KEYS[2]
local notAfterUs, member = tonumber(ARGV[1]), ARGV[2]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
if redis.call("EXISTS", record) == 1 then
  return { "present" }
end
redis.call("ZREM", index, member)
return { "pruned" }
` as string,
} as const;

/** Ends an attempt without an outcome, so that the next call runs again. When no attempt can have had an effect the payload is forgotten, too: a corrected one may use the key. A repeat gets its first answer (K1). */
export const release = {
  name: "idempotency.release",
  keys: ["record", "recovering", "held"],
  args: ["notAfterUs", "owner", "effect", "retentionMs", "publish"],
  rest: null,
  replies: ["released", "refused", "newer-format", "too-late"],
  sha1: "8fe827c3977bde9cd6aae62741a65f61b48bc551" as string,
  source: `local record, recovering, held = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, effect, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local publish = ARGV[5]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16
local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end
local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end
local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end
local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end
local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end
local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end
local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end
local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
local rebuildMs = 86400000
local function touched(number, operations)
  return number ~= "1" or operations ~= ""
end
local function keptUntil(key, token, wasTouched, keepMs)
  local untilMs = math.floor(math.max(nowUs, token + 0) / 1000) + keepMs
  if wasTouched then
    local leftMs = redis.call("PTTL", key)
    local before = leftMs < 0 and math.floor(token / 1000) + rebuildMs or math.floor(nowUs / 1000) + leftMs
    untilMs = math.max(untilMs, before)
  end
  return string.format("%.0f", untilMs)
end
local text = redis.call("GET", record)
local stored = text and unpackRecord(text)
if text and not stored then
  local version = newerFormat(text)
  if version then
    return { "newer-format", version }
  end
  return redis.error_reply(notRecord)
end
if not stored then
  return { "refused", "absent", "0" }
end
if recall(stored, "l", owner) then
  return { "released" }
end
if stored.state ~= "running" or stored.owner ~= owner then
  refuse(record, stored)
  return { "refused", stored.state, stored.token }
end
if effect == "possible" then
  stored.possible = "1"
end
if stored.possible == "0" then
  stored.print = ""
end
stored.state, stored.ended = "released", nowText
if not stored or stored.rule ~= "hold" then
  redis.call("ZREM", recovering, memberOf(record))
end
if not stored or stored.rule ~= "recover" then
  redis.call("ZREM", held, memberOf(record))
end
local untilMs = keptUntil(record, stored.token, touched(stored.number, stored.operations), retentionMs)
remember(stored, "l", owner)
redis.call("SET", record, packRecord(stored), "PXAT", untilMs)
redis.pcall(publish, record, "")
return { "released" }
` as string,
} as const;

/** Prolongs the lease of a running attempt. Safe to repeat. */
export const renew = {
  name: "idempotency.renew",
  keys: ["record"],
  args: ["notAfterUs", "owner", "retentionMs"],
  rest: null,
  replies: ["renewed", "lost", "newer-format", "too-late"],
  sha1: "71eb2a151b4d7207af84a37343ad018949d1d11f" as string,
  source: `local record = KEYS[1]
local notAfterUs, owner, retentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16
local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end
local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end
local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end
local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end
local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end
local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end
local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end
local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
local rebuildMs = 86400000
local function touched(number, operations)
  return number ~= "1" or operations ~= ""
end
local function keptUntil(key, token, wasTouched, keepMs)
  local untilMs = math.floor(math.max(nowUs, token + 0) / 1000) + keepMs
  if wasTouched then
    local leftMs = redis.call("PTTL", key)
    local before = leftMs < 0 and math.floor(token / 1000) + rebuildMs or math.floor(nowUs / 1000) + leftMs
    untilMs = math.max(untilMs, before)
  end
  return string.format("%.0f", untilMs)
end
local text = redis.call("GET", record)
local stored = text and unpackRecord(text)
if text and not stored then
  local version = newerFormat(text)
  if version then
    return { "newer-format", version }
  end
  return redis.error_reply(notRecord)
end
if not stored or stored.state ~= "running" or stored.owner ~= owner then
  return { "lost" }
end
stored.leased = nowText
local keepMs = math.floor(stored.length / 1000) + retentionMs
redis.call("PEXPIREAT", record, keptUntil(record, stored.token, touched(stored.number, stored.operations), keepMs))
if stored.rule == "hold" then
  redis.call("SET", record, packRecord(stored))
else
  redis.call("SET", record, packRecord(stored), "KEEPTTL")
end
return { "renewed" }
` as string,
} as const;

/** An operator settles a key that no live attempt holds. It takes a token of its own (K5), so that the attempt it overrules can write nothing any more. A repeat gets its first answer (K1). */
export const resolve = {
  name: "idempotency.resolve",
  keys: ["record", "recovering", "held"],
  args: ["notAfterUs", "operationId", "outcome", "effect", "codec", "result", "retentionMs", "publish"],
  rest: null,
  replies: ["resolved", "settled", "busy", "absent", "newer-format", "too-late"],
  sha1: "7fe5ef108a772c511e3d5069c74b53466d6e6f4e" as string,
  source: `local record, recovering, held = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, operationId, outcome, effect = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local codec, result, retentionMs, publish = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16
local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end
local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end
local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end
local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end
local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end
local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end
local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end
local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
local rebuildMs = 86400000
local function touched(number, operations)
  return number ~= "1" or operations ~= ""
end
local function keptUntil(key, token, wasTouched, keepMs)
  local untilMs = math.floor(math.max(nowUs, token + 0) / 1000) + keepMs
  if wasTouched then
    local leftMs = redis.call("PTTL", key)
    local before = leftMs < 0 and math.floor(token / 1000) + rebuildMs or math.floor(nowUs / 1000) + leftMs
    untilMs = math.max(untilMs, before)
  end
  return string.format("%.0f", untilMs)
end
local function remainingUs(key, fields)
  local lengthUs = tonumber(fields.length) or 0
  local leftUs = (tonumber(fields.leased) or 0) + lengthUs - nowUs
  if leftUs > lengthUs then
    fields.leased = nowText
    redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
    return lengthUs
  end
  return leftUs
end
local text = redis.call("GET", record)
local stored = text and unpackRecord(text)
if text and not stored then
  local version = newerFormat(text)
  if version then
    return { "newer-format", version }
  end
  return redis.error_reply(notRecord)
end
if recall(stored, "r", operationId) then
  return { "resolved" }
end
if not stored or stored.state == "forgotten" then
  return { "absent" }
end
if stored.state == "completed" or stored.state == "failed" then
  return { "settled", stored.state }
end
local leftUs = remainingUs(record, stored)
if stored.state == "running" and leftUs > 0 then
  return { "busy", math.ceil(leftUs / 1000) }
end
local token = nextToken(stored.token)
if not stored or stored.rule ~= "hold" then
  redis.call("ZREM", recovering, memberOf(record))
end
if not stored or stored.rule ~= "recover" then
  redis.call("ZREM", held, memberOf(record))
end
stored.state, stored.token, stored.owner, stored.ended = outcome, token, operationId, nowText
remember(stored, "r", operationId)
if outcome ~= "released" then
  stored.codec, stored.result = codec, result
elseif effect == "none" then
  stored.possible, stored.print = "0", ""
else
  stored.possible = "1"
end
redis.call("SET", record, packRecord(stored), "PXAT", keptUntil(record, token, true, retentionMs))
redis.pcall(publish, record, "")
return { "resolved" }
` as string,
} as const;
