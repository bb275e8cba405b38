// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Tells all processes that the probes of this one have succeeded. */
export const close = {
  name: "bulkhead.close",
  keys: ["state"],
  args: ["notAfterUs", "operation", "token", "retentionMs", "publish"],
  rest: null,
  replies: ["closed", "open", "newer-format", "too-late"],
  sha1: "9bb61ed1f4ed9bd6cbae059b772e1dee56b1dbfe" as string,
  source: `local state = KEYS[1]
local notAfterUs, operation, token = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local retentionMs, publish = tonumber(ARGV[4]), ARGV[5]
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
` as string,
} as const;

/** A process gives back all its permits and is gone. */
export const leave = {
  name: "bulkhead.leave",
  keys: ["pods"],
  args: ["notAfterUs", "pod", "token", "publish"],
  rest: null,
  replies: ["left", "absent", "too-late"],
  sha1: "2fbdc25299b55d532c5b0de439e3f9e3f99e9790" as string,
  source: `local pods = KEYS[1]
local notAfterUs, pod, token, publish = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local text = redis.call("HGET", pods, pod)
if not text or string.match(text, "^%d+ %d+ %d+ (%d+) ") ~= token then
  return { "absent" }
end
redis.call("HDEL", pods, pod)
redis.pcall(publish, pods, "take " .. pod)
return { "left" }
` as string,
} as const;

/** What the processes know about a dependency together. */
export const look = {
  name: "bulkhead.look",
  keys: ["state"],
  args: [],
  rest: null,
  replies: ["open", "closed", "newer-format"],
  sha1: "30847ec043df396ef3d030d80a7fdaea94090ea7" as string,
  source: `local state = KEYS[1]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
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
if newerFormat then
  return { "newer-format", newerFormat }
end
if word == "open" then
  return { "open", lastToken, leftUs }
end
return { "closed", lastToken or "0" }
` as string,
} as const;

/** Tells all processes that a dependency is down. Evidence that is older than the last closing is not believed: whoever has it has not heard that the dependency is well again. */
export const open = {
  name: "bulkhead.open",
  keys: ["state"],
  args: ["notAfterUs", "operation", "seen", "openUs", "retentionMs", "publish"],
  rest: null,
  replies: ["open", "closed", "newer-format", "too-late"],
  sha1: "6e95b6a51b86abf9ec3d96470ff3226134e866c8" as string,
  source: `local state = KEYS[1]
local notAfterUs, operation, seen, openUs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local retentionMs, publish = tonumber(ARGV[5]), ARGV[6]
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
  lastToken = nextToken((lastToken and lastToken > seen) and lastToken or seen ~= "0" and seen)
  leftUs = openUs
  write("open", openUs, operation, retentionMs)
  redis.pcall(publish, state, lastToken)
end
return { "open", lastToken, leftUs }
` as string,
} as const;

/** Asks for the right to probe a dependency that has been open long enough. One process at a time has it. Whoever asks has been open himself: when nothing newer than what he knows is recorded, his opening never came here or was lost, and is recorded now. */
export const probe = {
  name: "bulkhead.probe",
  keys: ["state"],
  args: ["notAfterUs", "operation", "seen", "probeUs", "retentionMs", "publish"],
  rest: null,
  replies: ["granted", "open", "closed", "newer-format", "too-late"],
  sha1: "1ca95d17cf1207683dc172f4f4cd02f8fabf48e5" as string,
  source: `local state = KEYS[1]
local notAfterUs, operation, seen, probeUs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local retentionMs, publish = tonumber(ARGV[5]), ARGV[6]
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
if newerFormat then
  return { "newer-format", newerFormat }
end
if word ~= "open" then
  if lastToken and lastToken > seen then
    return { "closed", lastToken }
  end
  lastToken = nextToken(seen ~= "0" and seen)
  write("open", 0, operation, retentionMs)
  redis.pcall(publish, state, lastToken)
  leftUs, clockWentBack, probe = 0, false, false
end
if clockWentBack then
  redis.call("HSET", state, "untilUs", string.format("%.0f", nowUs + leftUs))
end
if leftUs > 0 then
  return { "open", lastToken, leftUs }
end
if probe and probe ~= operation then
  local busyUs = probeEndUs - nowUs
  if busyUs > 0 and busyUs <= (probeForUs or probeUs) then
    return { "open", lastToken, busyUs }
  end
end
local endText, probeText = string.format("%.0f", nowUs + probeUs), string.format("%.0f", probeUs)
redis.call("HSET", state, "probe", operation, "probeEndUs", endText, "probeUs", probeText)
return { "granted", lastToken }
` as string,
} as const;

/** One process tells how many permits it keeps and could use, and gets its share of what is free. The permits of a process are one lease; when it ends, they are free for the others. No grant takes the sum of the leases over the limit (B7). */
export const sync = {
  name: "bulkhead.sync",
  keys: ["pods"],
  args: ["notAfterUs", "pod", "sequence", "leaseUs", "limit", "keep", "used", "wanted", "podsMax", "retentionMs", "publish"],
  rest: null,
  replies: ["granted", "stale", "crowded", "newer-format", "too-late"],
  sha1: "c3c6d5b357829208d46552f30d390738818153ed" as string,
  source: `local pods = KEYS[1]
local notAfterUs, pod, sequence, leaseUs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local limit, keep, used, wanted = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local podsMax, retentionMs, publish = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11]
local unpack = table.unpack or unpack
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
local told = limit
local stored = redis.call("HGETALL", pods)
local pattern = "^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$"
local lastToken, own, newerFormat = false, nil, nil
local live, dead, clamped, othersHeld = {}, {}, {}, 0
for i = 1, #stored, 2 do
  local id, text = stored[i], stored[i + 1]
  if id == "#token" then
    lastToken = text
  else
    local format, ends, length, token, sequence, held, wanted, told = string.match(text, pattern)
    if format ~= "1" then
      newerFormat = string.match(text, "^%d+") or "?"
      break
    end
    local entry = { id = id, ends = tonumber(ends), length = tonumber(length), token = token, sequence = tonumber(sequence) }
    entry.held, entry.wanted, entry.limit = tonumber(held), tonumber(wanted), tonumber(told)
    if entry.ends - nowUs > entry.length then
      entry.ends = nowUs + entry.length
      clamped[#clamped + 1] = entry
    end
    if entry.ends <= nowUs then
      dead[#dead + 1] = id
    elseif id == pod then
      own = entry
    else
      live[#live + 1] = entry
      othersHeld = othersHeld + entry.held
      limit = math.min(limit, entry.limit)
    end
  end
end
local function record(entry)
  local numbers = string.format("%.0f %.0f %s %.0f", entry.ends, entry.length, entry.token, entry.sequence)
  return "1 " .. numbers .. string.format(" %.0f %.0f %.0f", entry.held, entry.wanted, entry.limit)
end
if newerFormat then
  return { "newer-format", newerFormat }
end
if not own and #live >= podsMax then
  return { "crowded", podsMax }
end
if own and own.sequence > sequence then
  return { "stale" }
end
local before = own and own.held or 0
local repeated = own and own.sequence == sequence
local mine = { id = pod, ends = nowUs + leaseUs, length = leaseUs, sequence = sequence, limit = told }
mine.token = own and own.token or nextToken(lastToken)
mine.wanted = math.max(wanted, used)
mine.held = repeated and before or own and math.max(used, math.min(keep, before)) or used
live[#live + 1] = mine
table.sort(live, function(a, b)
  return a.id < b.id
end)
local wanting = 0
for _, entry in ipairs(live) do
  entry.turn = wanting
  wanting = wanting + (entry.wanted > 0 and 1 or 0)
end
local second = tonumber(string.sub(nowText, 1, 10))
for _, entry in ipairs(live) do
  entry.turn = (entry.turn + second) % math.max(1, wanting)
end
table.sort(live, function(a, b)
  local scarce = wanting > limit and a.wanted > 0 and b.wanted > 0
  if a.wanted ~= b.wanted and not scarce then
    return a.wanted < b.wanted
  end
  return a.turn < b.turn
end)
local left = limit
for i, entry in ipairs(live) do
  entry.share = math.min(entry.wanted, math.floor(left / (#live - i + 1)))
  left = left - entry.share
end
if not repeated then
  local free = limit - othersHeld - mine.held
  mine.held = mine.held + math.max(0, math.min(mine.share - mine.held, free))
end
if #dead > 0 then
  redis.call("HDEL", pods, unpack(dead))
end
for _, entry in ipairs(clamped) do
  redis.call("HSET", pods, entry.id, record(entry))
end
local newest = (lastToken and lastToken > mine.token) and lastToken or mine.token
redis.call("HSET", pods, pod, record(mine), "#token", newest)
local expiresMs = math.floor(math.max(nowUs, tonumber(newest)) / 1000) + retentionMs
redis.call("PEXPIREAT", pods, string.format("%.0f", expiresMs))
if mine.held < mine.share or (not own and othersHeld + mine.held > limit) then
  redis.pcall(publish, pods, "give " .. pod)
end
local starving = false
for _, entry in ipairs(live) do
  starving = starving or (entry ~= mine and entry.held < entry.share)
end
if starving and (before > mine.held or #dead > 0) then
  redis.pcall(publish, pods, "take " .. pod)
end
return { "granted", mine.token, mine.held, mine.share, #live }
` as string,
} as const;
