// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Grants a free lease, or lets the caller wait for it in the order of arrival. Repeated by the owner it gives the same token and counts the lease anew (L3). While others wait it grants to the first live one of them, so that a newcomer never overtakes (L6). */
export const acquire = {
  name: "lock.acquire",
  keys: ["lease", "queue", "seen"],
  args: ["notAfterUs", "owner", "newTerms", "retentionMs", "waits", "lapseMs", "sweepMax", "publish"],
  rest: null,
  replies: ["granted", "waiting", "busy", "ended", "newer-format", "too-late"],
  sha1: "cdba9886ceb8d5477335f6493cd5df6a55a679d3" as string,
  source: `local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, newTerms, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local waits, lapseMs, sweepMax, publish = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
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
local stored = redis.call("GET", lease)
local newerFormat = false
local token, endUs, lengthMs, terms, delayUs, flag, holder = false, 0, 0, "0000000000000000", 0, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token = string.sub(stored, 2, 17)
  endUs = tonumber(string.sub(stored, 18, 33)) or 0
  terms = string.sub(stored, 34, 49)
  lengthMs = tonumber(string.sub(terms, 1, 8)) or 0
  delayUs = (tonumber(string.sub(terms, 9, 16)) or 0) * 1000
  flag = string.sub(stored, 50, 50)
  holder = string.sub(stored, 51)
end
local function write(number, untilUs, newTerms, newFlag, owner)
  local value = "1" .. number .. string.format("%016.0f", untilUs) .. newTerms .. newFlag .. owner
  local keepUs = math.max(tonumber(number), untilUs, nowUs)
  local expiresAtMs = string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs)
  local reply = redis.pcall("SET", lease, value, "PXAT", expiresAtMs)
  if reply.err then
    if stored then
      redis.call("PEXPIREAT", lease, expiresAtMs)
    end
    redis.call("SET", lease, value, "PXAT", expiresAtMs)
  end
end
if newerFormat then
  return "newer-format " .. newerFormat
end
local untilUs = nowUs + tonumber(string.sub(newTerms, 1, 8)) * 1000
if holder == owner then
  if endUs == 0 then
    return "ended"
  end
  write(token, untilUs, newTerms, flag, owner)
  return "granted " .. token
end
if flag == "q" and redis.call("ZSCORE", seen, "!" .. owner) then
  return "ended"
end
local clockWentBack = endUs - nowUs > lengthMs * 1000
if clockWentBack then
  endUs = nowUs + lengthMs * 1000
end
local free = endUs == 0 or nowUs >= endUs + delayUs
if free and flag ~= "q" then
  local number = nextToken(token)
  write(number, untilUs, newTerms, "-", owner)
  return "granted " .. number
end
local unpack = table.unpack or unpack
local lapseUs = tonumber(lapseMs) * 1000
local function liveHead()
  local earliest = string.format("%.0f", nowUs - lapseUs)
  local latest = string.format("%.0f", nowUs + lapseUs)
  for _ = 1, sweepMax do
    local head = redis.call("ZRANGE", queue, 0, 0)[1]
    if not head then
      return false
    end
    local seenUs = tonumber(redis.call("ZSCORE", seen, head) or 0)
    if seenUs >= nowUs - lapseUs and seenUs <= nowUs + lapseUs then
      return head
    end
    local dead = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(" .. earliest, "LIMIT", 0, sweepMax)
    for _, odd in ipairs(redis.call("ZRANGEBYSCORE", seen, "(" .. latest, "+inf", "LIMIT", 0, sweepMax)) do
      dead[#dead + 1] = odd
    end
    dead[#dead + 1] = head
    redis.call("ZREM", queue, unpack(dead))
    redis.call("ZREM", seen, unpack(dead))
  end
  return false
end
local function leave(who)
  redis.call("ZREM", queue, who)
  redis.call("ZREM", seen, who)
end
local function flagNow()
  return redis.call("EXISTS", queue, seen) > 0 and "q" or "-"
end
local function handTo(head)
  local number = nextToken(token)
  leave(head)
  write(number, nowUs + lapseUs, lapseMs .. "00000000", flagNow(), head)
  redis.pcall(publish, queue, head .. " " .. number .. " " .. lapseMs)
end
if waits == "1" then
  if not redis.call("ZSCORE", queue, owner) then
    local last = tonumber(redis.call("ZRANGE", queue, -1, -1, "WITHSCORES")[2] or 0)
    redis.call("ZADD", queue, string.format("%.0f", math.max(last + 1, nowUs)), owner)
  end
  redis.call("ZADD", seen, nowText, owner)
  redis.call("PEXPIRE", queue, retentionMs)
  redis.call("PEXPIRE", seen, retentionMs)
end
local head = free and liveHead()
if free and (not head or head == owner) then
  local number = nextToken(token)
  leave(owner)
  write(number, untilUs, newTerms, flagNow(), owner)
  return "granted " .. number
end
if free then
  handTo(head)
  endUs, delayUs = nowUs + lapseUs, 0
elseif clockWentBack or (waits == "1" and flag ~= "q") then
  write(token, endUs, terms, waits == "1" and "q" or flag, holder)
end
if waits == "1" then
  return "waiting " .. string.format("%.0f", math.ceil((endUs + delayUs - nowUs) / 1000))
end
return "busy"
` as string,
} as const;

/** Ends whatever lease there is and burns a token, which is higher than every one granted (K5). All waiters are told to look. */
export const forceRelease = {
  name: "lock.force-release",
  keys: ["lease", "queue"],
  args: ["notAfterUs", "operationId", "retentionMs", "publish"],
  rest: null,
  replies: ["burned", "newer-format", "too-late"],
  sha1: "cff67871a0b84b6e100223a03179c24405baa1fe" as string,
  source: `local lease, queue = KEYS[1], KEYS[2]
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
local stored = redis.call("GET", lease)
local newerFormat = false
local token, endUs, lengthMs, terms, delayUs, flag, holder = false, 0, 0, "0000000000000000", 0, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token = string.sub(stored, 2, 17)
  endUs = tonumber(string.sub(stored, 18, 33)) or 0
  terms = string.sub(stored, 34, 49)
  lengthMs = tonumber(string.sub(terms, 1, 8)) or 0
  delayUs = (tonumber(string.sub(terms, 9, 16)) or 0) * 1000
  flag = string.sub(stored, 50, 50)
  holder = string.sub(stored, 51)
end
local function write(number, untilUs, newTerms, newFlag, owner)
  local value = "1" .. number .. string.format("%016.0f", untilUs) .. newTerms .. newFlag .. owner
  local keepUs = math.max(tonumber(number), untilUs, nowUs)
  local expiresAtMs = string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs)
  local reply = redis.pcall("SET", lease, value, "PXAT", expiresAtMs)
  if reply.err then
    if stored then
      redis.call("PEXPIREAT", lease, expiresAtMs)
    end
    redis.call("SET", lease, value, "PXAT", expiresAtMs)
  end
end
if newerFormat then
  return { "newer-format", newerFormat }
end
if holder == operationId then
  return { "burned", token }
end
local burned = nextToken(token)
write(burned, 0, terms, flag, operationId)
redis.pcall(publish, queue, "*")
return { "burned", burned }
` as string,
} as const;

/** Tells who holds the lease. Changes nothing. */
export const inspect = {
  name: "lock.inspect",
  keys: ["lease", "queue", "seen"],
  args: ["lapseMs"],
  rest: null,
  replies: ["free", "held", "newer-format"],
  sha1: "418b44259b67a80a175927d3dfd9623364bad5df" as string,
  source: `local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local lapseMs = tonumber(ARGV[1])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
local retentionMs = 0
local stored = redis.call("GET", lease)
local newerFormat = false
local token, endUs, lengthMs, terms, delayUs, flag, holder = false, 0, 0, "0000000000000000", 0, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token = string.sub(stored, 2, 17)
  endUs = tonumber(string.sub(stored, 18, 33)) or 0
  terms = string.sub(stored, 34, 49)
  lengthMs = tonumber(string.sub(terms, 1, 8)) or 0
  delayUs = (tonumber(string.sub(terms, 9, 16)) or 0) * 1000
  flag = string.sub(stored, 50, 50)
  holder = string.sub(stored, 51)
end
local function write(number, untilUs, newTerms, newFlag, owner)
  local value = "1" .. number .. string.format("%016.0f", untilUs) .. newTerms .. newFlag .. owner
  local keepUs = math.max(tonumber(number), untilUs, nowUs)
  local expiresAtMs = string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs)
  local reply = redis.pcall("SET", lease, value, "PXAT", expiresAtMs)
  if reply.err then
    if stored then
      redis.call("PEXPIREAT", lease, expiresAtMs)
    end
    redis.call("SET", lease, value, "PXAT", expiresAtMs)
  end
end
if newerFormat then
  return { "newer-format", newerFormat }
end
if endUs <= nowUs then
  return { "free" }
end
local lapseUs = lapseMs * 1000
local waiters = 0
if redis.call("EXISTS", queue) == 1 then
  local earliest, latest = string.format("%.0f", nowUs - lapseUs), string.format("%.0f", nowUs + lapseUs)
  waiters = redis.call("ZCOUNT", seen, earliest, latest)
end
local remainingMs = math.min(math.ceil((endUs - nowUs) / 1000), lengthMs)
return { "held", token, holder, remainingMs, waiters }
` as string,
} as const;

/** Ends the owner's lease or its waiting, and hands the lease to the first live waiter (L6). Only the owner's (L2, L5). With a seal the owner is remembered as gone, so that a request of its acquire that arrives later grants nothing (L3). */
export const release = {
  name: "lock.release",
  keys: ["lease", "queue", "seen"],
  args: ["notAfterUs", "owner", "retentionMs", "sealMs", "lapseMs", "sweepMax", "publish"],
  rest: null,
  replies: ["released", "lost", "newer-format", "too-late"],
  sha1: "cc06eb767def95feeddb4e29dda74f0f9040e374" as string,
  source: `local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, retentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local sealMs, lapseMs, sweepMax, publish = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), ARGV[7]
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
local stored = redis.call("GET", lease)
local newerFormat = false
local token, endUs, lengthMs, terms, delayUs, flag, holder = false, 0, 0, "0000000000000000", 0, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token = string.sub(stored, 2, 17)
  endUs = tonumber(string.sub(stored, 18, 33)) or 0
  terms = string.sub(stored, 34, 49)
  lengthMs = tonumber(string.sub(terms, 1, 8)) or 0
  delayUs = (tonumber(string.sub(terms, 9, 16)) or 0) * 1000
  flag = string.sub(stored, 50, 50)
  holder = string.sub(stored, 51)
end
local function write(number, untilUs, newTerms, newFlag, owner)
  local value = "1" .. number .. string.format("%016.0f", untilUs) .. newTerms .. newFlag .. owner
  local keepUs = math.max(tonumber(number), untilUs, nowUs)
  local expiresAtMs = string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs)
  local reply = redis.pcall("SET", lease, value, "PXAT", expiresAtMs)
  if reply.err then
    if stored then
      redis.call("PEXPIREAT", lease, expiresAtMs)
    end
    redis.call("SET", lease, value, "PXAT", expiresAtMs)
  end
end
if newerFormat then
  return "newer-format " .. newerFormat
end
local unpack = table.unpack or unpack
local lapseUs = tonumber(lapseMs) * 1000
local function liveHead()
  local earliest = string.format("%.0f", nowUs - lapseUs)
  local latest = string.format("%.0f", nowUs + lapseUs)
  for _ = 1, sweepMax do
    local head = redis.call("ZRANGE", queue, 0, 0)[1]
    if not head then
      return false
    end
    local seenUs = tonumber(redis.call("ZSCORE", seen, head) or 0)
    if seenUs >= nowUs - lapseUs and seenUs <= nowUs + lapseUs then
      return head
    end
    local dead = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(" .. earliest, "LIMIT", 0, sweepMax)
    for _, odd in ipairs(redis.call("ZRANGEBYSCORE", seen, "(" .. latest, "+inf", "LIMIT", 0, sweepMax)) do
      dead[#dead + 1] = odd
    end
    dead[#dead + 1] = head
    redis.call("ZREM", queue, unpack(dead))
    redis.call("ZREM", seen, unpack(dead))
  end
  return false
end
local function leave(who)
  redis.call("ZREM", queue, who)
  redis.call("ZREM", seen, who)
end
local function flagNow()
  return redis.call("EXISTS", queue, seen) > 0 and "q" or "-"
end
local function handTo(head)
  local number = nextToken(token)
  leave(head)
  write(number, nowUs + lapseUs, lapseMs .. "00000000", flagNow(), head)
  redis.pcall(publish, queue, head .. " " .. number .. " " .. lapseMs)
end
local held = holder == owner and endUs > 0
if flag == "q" or sealMs > 0 then
  leave(owner)
end
if sealMs > 0 then
  redis.call("ZADD", seen, string.format("%.0f", -nowUs - sealMs * 1000), "!" .. owner)
  redis.call("PEXPIRE", seen, retentionMs)
end
if held then
  local head = flag == "q" and liveHead()
  if head then
    handTo(head)
  else
    write(token, 0, terms, (flag == "q" or sealMs > 0) and flagNow() or "-", owner)
  end
elseif sealMs > 0 and flag ~= "q" then
  write(token or "0000000000000000", endUs, terms, "q", holder)
end
return holder == owner and "released" or "lost"
` as string,
} as const;

/** Counts the lease of its owner anew (L2). A lease that has ended by the clock and that nobody has taken is still the owner's. */
export const renew = {
  name: "lock.renew",
  keys: ["lease"],
  args: ["notAfterUs", "owner", "newTerms", "retentionMs"],
  rest: null,
  replies: ["renewed", "lost", "newer-format", "too-late"],
  sha1: "d3fa94531637332582627428124a05115de2490c" as string,
  source: `local lease = KEYS[1]
local notAfterUs, owner, newTerms, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local stored = redis.call("GET", lease)
local newerFormat = false
local token, endUs, lengthMs, terms, delayUs, flag, holder = false, 0, 0, "0000000000000000", 0, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token = string.sub(stored, 2, 17)
  endUs = tonumber(string.sub(stored, 18, 33)) or 0
  terms = string.sub(stored, 34, 49)
  lengthMs = tonumber(string.sub(terms, 1, 8)) or 0
  delayUs = (tonumber(string.sub(terms, 9, 16)) or 0) * 1000
  flag = string.sub(stored, 50, 50)
  holder = string.sub(stored, 51)
end
local function write(number, untilUs, newTerms, newFlag, owner)
  local value = "1" .. number .. string.format("%016.0f", untilUs) .. newTerms .. newFlag .. owner
  local keepUs = math.max(tonumber(number), untilUs, nowUs)
  local expiresAtMs = string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs)
  local reply = redis.pcall("SET", lease, value, "PXAT", expiresAtMs)
  if reply.err then
    if stored then
      redis.call("PEXPIREAT", lease, expiresAtMs)
    end
    redis.call("SET", lease, value, "PXAT", expiresAtMs)
  end
end
if newerFormat then
  return "newer-format " .. newerFormat
end
if holder ~= owner or endUs == 0 then
  return "lost"
end
write(token, nowUs + tonumber(string.sub(newTerms, 1, 8)) * 1000, newTerms, flag, owner)
return "renewed"
` as string,
} as const;
