// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Grants a free lease, or lets the caller wait for it in the order of arrival. Repeated by the owner it gives the same token and counts the lease anew (L3). While others wait it grants to the first live one of them, so that a newcomer never overtakes (L6). */
export const acquire = {
  name: "lock.acquire",
  keys: ["lease", "queue", "seen"],
  args: ["notAfterUs", "owner", "newTerms", "retentionMs", "waits", "lapseMs", "rules"],
  rest: null,
  replies: ["granted", "waiting", "busy", "ended", "newer-format", "too-late"],
  sha1: "2de936525618478992d5111b1ad126e174824729" as string,
  source: `local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, newTerms, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local waits, lapseMs, rules = ARGV[5], tonumber(ARGV[6]), ARGV[7]
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
local none = "0000000000000000"
local stored = redis.call("GET", lease)
local newerFormat = false
local token, since, terms, flag, holder = false, none, none, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token, since = string.sub(stored, 2, 17), string.sub(stored, 18, 33)
  terms, flag, holder = string.sub(stored, 34, 49), string.sub(stored, 50, 50), string.sub(stored, 51)
end
local function write(number, from, newTerms, newFlag, owner)
  local value = "1" .. number .. from .. newTerms .. newFlag .. owner
  local unit, time = "PX", tonumber(string.sub(newTerms, 1, 8)) + tonumber(string.sub(newTerms, 9, 16)) + retentionMs
  if number > nowText then
    unit, time = "PXAT", string.format("%.0f", math.ceil(number / 1000) + time)
  end
  if redis.pcall("SET", lease, value, unit, time).err then
    if stored then
      redis.call("PERSIST", lease)
    end
    redis.call("SET", lease, value, unit, time)
  end
end
if newerFormat then
  return "newer-format " .. newerFormat
end
if holder == owner then
  if since == none then
    return "ended"
  end
  write(token, nowText, newTerms, flag, owner)
  return "granted " .. token
end
if since == none and flag ~= "q" then
  local number = nextToken(token)
  write(number, nowText, newTerms, "-", owner)
  return "granted " .. number
end
if flag == "q" and redis.call("ZSCORE", seen, "!" .. owner) then
  return "ended"
end
local clockWentBack = since > nowText
local from = clockWentBack and nowText or since
local openUs = tonumber(from) + (tonumber(string.sub(terms, 1, 8)) + tonumber(string.sub(terms, 9, 16))) * 1000
local free = since == none or nowUs >= openUs
local unpack = table.unpack or unpack
local sweepMax, publishCommand = tonumber(string.sub(rules, 1, 8)), string.sub(rules, 9)
local latestUs = nowUs + 60000000
local function liveHead(gone)
  for _ = 1, sweepMax do
    local head = redis.call("ZRANGE", queue, 0, 0)[1]
    if not head then
      return false
    end
    local untilUs = tonumber(redis.call("ZSCORE", seen, head) or 0)
    if head ~= gone and untilUs >= nowUs and untilUs <= latestUs then
      return head, untilUs
    end
    local dead = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(" .. nowText, "LIMIT", 0, sweepMax)
    for _, odd in ipairs(redis.call("ZRANGEBYSCORE", seen, "(" .. string.format("%.0f", latestUs), "+inf", "LIMIT", 0, sweepMax)) do
      dead[#dead + 1] = odd
    end
    dead[#dead + 1] = head
    redis.call("ZREM", queue, unpack(dead))
    redis.call("ZREM", seen, unpack(dead))
  end
  return false
end
local function leave(who, other)
  redis.call("ZREM", queue, who, other or who)
  redis.call("ZREM", seen, who, other or who)
end
local function forgetSeals()
  local over = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(0", "LIMIT", 0, sweepMax)
  if #over > 0 then
    redis.call("ZREM", seen, unpack(over))
  end
end
local function flagNow()
  if redis.call("EXISTS", queue) == 1 then
    return "q"
  end
  forgetSeals()
  return redis.call("EXISTS", seen) == 1 and "q" or "-"
end
local function channelOf(who)
  local place = string.match(who, "^([^/]*)/")
  return place and queue .. ":" .. place or queue
end
local function handTo(head, untilUs)
  local number, leaseMs = nextToken(token), math.ceil((untilUs - nowUs) / 1000)
  write(number, nowText, string.format("%08.0f", leaseMs) .. string.sub(terms, 9, 16), flagNow(), head)
  redis.pcall(publishCommand, channelOf(head), head .. " " .. number)
  return nowUs + (leaseMs + tonumber(string.sub(terms, 9, 16))) * 1000
end
if waits == "1" then
  if not redis.call("ZSCORE", queue, owner) then
    local last = tonumber(redis.call("ZRANGE", queue, -1, -1, "WITHSCORES")[2] or 0)
    redis.call("ZADD", queue, string.format("%.0f", math.max(last + 1, nowUs)), owner)
  end
  redis.call("ZADD", seen, string.format("%.0f", nowUs + lapseMs * 1000), owner)
  redis.call("PEXPIRE", queue, retentionMs)
  redis.call("PEXPIRE", seen, retentionMs)
end
local head, untilUs
if free then
  head, untilUs = liveHead()
end
if free and (not head or head == owner) then
  local number = nextToken(token)
  leave(owner)
  write(number, nowText, newTerms, flagNow(), owner)
  return "granted " .. number
end
if free then
  leave(head)
  openUs = handTo(head, untilUs)
elseif clockWentBack or (waits == "1" and flag ~= "q") then
  write(token, from, terms, waits == "1" and "q" or flag, holder)
end
if waits == "1" then
  return "waiting " .. string.format("%.0f", math.ceil((openUs - nowUs) / 1000)) .. " " .. token
end
return "busy"
` as string,
} as const;

/** Makes a resource refuse every token below this one, without writing to it. */
export const advanceFence = {
  name: "lock.advance-fence",
  keys: ["fence"],
  args: ["notAfterUs", "token", "guardRetentionMs"],
  rest: null,
  replies: ["done", "stale", "too-old", "newer-format", "too-late"],
  sha1: "44cba26f1b5cbf2f53855cb9e3b5e9e4ca902cb8" as string,
  source: `local fence = KEYS[1]
local notAfterUs, token, guardRetentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local fenced = redis.call("GET", fence)
local oldestUs = string.format("%016.0f", nowUs - guardRetentionMs * 1000)
local function stale()
  if fenced and string.sub(fenced, 1, 1) ~= "1" then
    return { "newer-format", string.sub(fenced, 1, 8) }
  end
  local highest = fenced and string.sub(fenced, 2)
  if highest and highest > token then
    return { "stale", highest }
  end
  if token < oldestUs then
    return { "too-old", oldestUs }
  end
  return false
end
local function advance()
  local keepUs = token > nowText and token or nowText
  local endMs = math.ceil(keepUs / 1000) + guardRetentionMs
  if fenced then
    endMs = math.max(endMs, math.floor(nowUs / 1000) + redis.call("PTTL", fence))
  end
  redis.call("SET", fence, "1" .. token, "PXAT", string.format("%.0f", endMs))
end
local refusal = stale()
if refusal then
  return refusal
end
advance()
return { "done" }
` as string,
} as const;

/** Runs a user's script, unless a higher token has been there. The user's text stands in front of this one as the function `userScript(KEYS, ARGV)`, with its inputs as `userKeys` and `userArgs` (guard/fenced-script.ts). An error that it raises or returns is a reply like any other, also to a repeat: what it wrote before stands, and is not written again (K1). As an error of this script it could be taken for one of ours, which come before the first write (K3). */
export const fencedCall = {
  name: "lock.fenced-call",
  keys: ["fence", "first"],
  args: ["notAfterUs", "token", "guardRetentionMs", "repeatWithinMs"],
  rest: null,
  replies: ["done", "failed", "stale", "too-old", "newer-format", "too-late"],
  sha1: "3974b378462b30a6d7999c1b0e8ca4ed98a8cc3e" as string,
  source: `local fence, first = KEYS[1], KEYS[2]
local notAfterUs, token, guardRetentionMs, repeatWithinMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local fenced = redis.call("GET", fence)
local oldestUs = string.format("%016.0f", nowUs - guardRetentionMs * 1000)
local function stale()
  if fenced and string.sub(fenced, 1, 1) ~= "1" then
    return { "newer-format", string.sub(fenced, 1, 8) }
  end
  local highest = fenced and string.sub(fenced, 2)
  if highest and highest > token then
    return { "stale", highest }
  end
  if token < oldestUs then
    return { "too-old", oldestUs }
  end
  return false
end
local function advance()
  local keepUs = token > nowText and token or nowText
  local endMs = math.ceil(keepUs / 1000) + guardRetentionMs
  if fenced then
    endMs = math.max(endMs, math.floor(nowUs / 1000) + redis.call("PTTL", fence))
  end
  redis.call("SET", fence, "1" .. token, "PXAT", string.format("%.0f", endMs))
end
local function told(answer)
  return answer.err and { "failed", answer.err } or answer
end
local answered = redis.call("GET", first)
if answered then
  return told(cmsgpack.unpack(answered))
end
local refusal = stale()
if refusal then
  return refusal
end
advance()
local ran, result = pcall(userScript, userKeys, userArgs)
local answer = { "done", { result } }
if type(result) == "table" and result.err ~= nil then
  answer = { err = tostring(result.err) }
elseif not ran then
  answer = { err = tostring(result) }
end
redis.call("SET", first, cmsgpack.pack(answer), "PX", repeatWithinMs)
return told(answer)
` as string,
} as const;

/** Sets a key, unless a higher token has been there. */
export const fencedSet = {
  name: "lock.fenced-set",
  keys: ["key", "fence", "first"],
  args: ["notAfterUs", "token", "guardRetentionMs", "repeatWithinMs", "value", "ttlMs"],
  rest: null,
  replies: ["done", "stale", "too-old", "newer-format", "too-late"],
  sha1: "9fee290d1c2ae8c9f7bc6553bde27ac71f4b7894" as string,
  source: `local key, fence, first = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, token, guardRetentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local repeatWithinMs, value, ttlMs = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local fenced = redis.call("GET", fence)
local oldestUs = string.format("%016.0f", nowUs - guardRetentionMs * 1000)
local function stale()
  if fenced and string.sub(fenced, 1, 1) ~= "1" then
    return { "newer-format", string.sub(fenced, 1, 8) }
  end
  local highest = fenced and string.sub(fenced, 2)
  if highest and highest > token then
    return { "stale", highest }
  end
  if token < oldestUs then
    return { "too-old", oldestUs }
  end
  return false
end
local function advance()
  local keepUs = token > nowText and token or nowText
  local endMs = math.ceil(keepUs / 1000) + guardRetentionMs
  if fenced then
    endMs = math.max(endMs, math.floor(nowUs / 1000) + redis.call("PTTL", fence))
  end
  redis.call("SET", fence, "1" .. token, "PXAT", string.format("%.0f", endMs))
end
if redis.call("EXISTS", first) == 1 then
  return { "done" }
end
local refusal = stale()
if refusal then
  return refusal
end
advance()
redis.call("SET", first, "1", "PX", repeatWithinMs)
if ttlMs > 0 then
  redis.call("SET", key, value, "PX", ttlMs)
else
  redis.call("SET", key, value)
end
return { "done" }
` as string,
} as const;

/** Ends whatever lease there is and burns a token, which is higher than every one granted (K5). The first live waiter is told to look. A repeat of the same operation gets the same token, and ends nobody's lease, whoever has been granted one since (K1). */
export const forceRelease = {
  name: "lock.force-release",
  keys: ["lease", "queue", "seen", "forced"],
  args: ["notAfterUs", "operationId", "retentionMs", "rules"],
  rest: null,
  replies: ["burned", "newer-format", "too-late"],
  sha1: "bf02e2bf1c9c4c9fae367b2804807542038cff97" as string,
  source: `local lease, queue, seen, forced = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, operationId, retentionMs, rules = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
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
local none = "0000000000000000"
local stored = redis.call("GET", lease)
local newerFormat = false
local token, since, terms, flag, holder = false, none, none, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token, since = string.sub(stored, 2, 17), string.sub(stored, 18, 33)
  terms, flag, holder = string.sub(stored, 34, 49), string.sub(stored, 50, 50), string.sub(stored, 51)
end
local function write(number, from, newTerms, newFlag, owner)
  local value = "1" .. number .. from .. newTerms .. newFlag .. owner
  local unit, time = "PX", tonumber(string.sub(newTerms, 1, 8)) + tonumber(string.sub(newTerms, 9, 16)) + retentionMs
  if number > nowText then
    unit, time = "PXAT", string.format("%.0f", math.ceil(number / 1000) + time)
  end
  if redis.pcall("SET", lease, value, unit, time).err then
    if stored then
      redis.call("PERSIST", lease)
    end
    redis.call("SET", lease, value, unit, time)
  end
end
if newerFormat then
  return { "newer-format", newerFormat }
end
local releaser = "!" .. operationId
local burnedBefore = redis.call("GET", forced) or (holder == releaser and since == none and token)
if burnedBefore then
  return { "burned", burnedBefore }
end
local unpack = table.unpack or unpack
local sweepMax, publishCommand = tonumber(string.sub(rules, 1, 8)), string.sub(rules, 9)
local latestUs = nowUs + 60000000
local function liveHead(gone)
  for _ = 1, sweepMax do
    local head = redis.call("ZRANGE", queue, 0, 0)[1]
    if not head then
      return false
    end
    local untilUs = tonumber(redis.call("ZSCORE", seen, head) or 0)
    if head ~= gone and untilUs >= nowUs and untilUs <= latestUs then
      return head, untilUs
    end
    local dead = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(" .. nowText, "LIMIT", 0, sweepMax)
    for _, odd in ipairs(redis.call("ZRANGEBYSCORE", seen, "(" .. string.format("%.0f", latestUs), "+inf", "LIMIT", 0, sweepMax)) do
      dead[#dead + 1] = odd
    end
    dead[#dead + 1] = head
    redis.call("ZREM", queue, unpack(dead))
    redis.call("ZREM", seen, unpack(dead))
  end
  return false
end
local function leave(who, other)
  redis.call("ZREM", queue, who, other or who)
  redis.call("ZREM", seen, who, other or who)
end
local function forgetSeals()
  local over = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(0", "LIMIT", 0, sweepMax)
  if #over > 0 then
    redis.call("ZREM", seen, unpack(over))
  end
end
local function flagNow()
  if redis.call("EXISTS", queue) == 1 then
    return "q"
  end
  forgetSeals()
  return redis.call("EXISTS", seen) == 1 and "q" or "-"
end
local function channelOf(who)
  local place = string.match(who, "^([^/]*)/")
  return place and queue .. ":" .. place or queue
end
local function handTo(head, untilUs)
  local number, leaseMs = nextToken(token), math.ceil((untilUs - nowUs) / 1000)
  write(number, nowText, string.format("%08.0f", leaseMs) .. string.sub(terms, 9, 16), flagNow(), head)
  redis.pcall(publishCommand, channelOf(head), head .. " " .. number)
  return nowUs + (leaseMs + tonumber(string.sub(terms, 9, 16))) * 1000
end
local head = liveHead()
local burned = nextToken(token)
write(burned, none, terms, flag, releaser)
redis.pcall("SET", forced, burned, "PX", retentionMs)
if head then
  redis.pcall(publishCommand, channelOf(head), "*")
end
return { "burned", burned }
` as string,
} as const;

/** Tells who holds the lease. Changes nothing. */
export const inspect = {
  name: "lock.inspect",
  keys: ["lease", "queue", "seen"],
  args: [],
  rest: null,
  replies: ["free", "held", "newer-format"],
  sha1: "fdb27e1f88779d0a88760c7023c7dd31913d1f86" as string,
  source: `local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
local retentionMs = 0
local none = "0000000000000000"
local stored = redis.call("GET", lease)
local newerFormat = false
local token, since, terms, flag, holder = false, none, none, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token, since = string.sub(stored, 2, 17), string.sub(stored, 18, 33)
  terms, flag, holder = string.sub(stored, 34, 49), string.sub(stored, 50, 50), string.sub(stored, 51)
end
local function write(number, from, newTerms, newFlag, owner)
  local value = "1" .. number .. from .. newTerms .. newFlag .. owner
  local unit, time = "PX", tonumber(string.sub(newTerms, 1, 8)) + tonumber(string.sub(newTerms, 9, 16)) + retentionMs
  if number > nowText then
    unit, time = "PXAT", string.format("%.0f", math.ceil(number / 1000) + time)
  end
  if redis.pcall("SET", lease, value, unit, time).err then
    if stored then
      redis.call("PERSIST", lease)
    end
    redis.call("SET", lease, value, unit, time)
  end
end
if newerFormat then
  return { "newer-format", newerFormat }
end
local lengthUs = tonumber(string.sub(terms, 1, 8)) * 1000
local leftUs = math.min(tonumber(since) + lengthUs - nowUs, lengthUs)
if leftUs <= 0 then
  return { "free" }
end
local waiters = 0
if redis.call("EXISTS", queue) == 1 then
  waiters = redis.call("ZCOUNT", seen, nowText, string.format("%.0f", nowUs + 60000000))
end
return { "held", token, holder, math.ceil(leftUs / 1000), waiters }
` as string,
} as const;

/** Writes the token of a majority back to this node, while its lock is the value's. Strict: a node that has seen a higher one refuses, or two holders could get one token (L8). */
export const quorumConfirm = {
  name: "lock.quorum-confirm",
  keys: ["lock", "fence"],
  args: ["notAfterUs", "value", "token", "retentionMs"],
  rest: null,
  replies: ["confirmed", "higher", "lost", "newer-format", "too-late"],
  sha1: "9077b84429f9a890b5c205ee7619ab1f109fe4bf" as string,
  source: `local lock, fence = KEYS[1], KEYS[2]
local notAfterUs, value, token, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local remembered = redis.call("GET", fence)
local newerFormat = remembered and string.sub(remembered, 1, 1) ~= "1" and string.sub(remembered, 1, 8)
local fenced = remembered and string.sub(remembered, 2)
local function remember(number)
  local keepUs = number > nowText and number or nowText
  redis.call("SET", fence, "1" .. number, "PXAT", string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs))
end
if newerFormat then
  return { "newer-format", newerFormat }
end
if redis.call("GET", lock) ~= value then
  return { "lost" }
end
if fenced and fenced > token then
  return { "higher", fenced }
end
remember(token)
return { "confirmed", nowText }
` as string,
} as const;

/** Counts the lease of the value anew on this node. */
export const quorumExtend = {
  name: "lock.quorum-extend",
  keys: ["lock"],
  args: ["notAfterUs", "value", "ttlMs"],
  rest: null,
  replies: ["extended", "lost", "too-late"],
  sha1: "f3290ad877c51920134b6564eea9f4bc282ac91e" as string,
  source: `local lock = KEYS[1]
local notAfterUs, value, ttlMs = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
if redis.call("GET", lock) ~= value then
  return { "lost" }
end
redis.call("PEXPIRE", lock, ttlMs)
return { "extended" }
` as string,
} as const;

/** Tells who holds this node's lock. Changes nothing. */
export const quorumInspect = {
  name: "lock.quorum-inspect",
  keys: ["lock", "fence"],
  args: [],
  rest: null,
  replies: ["free", "held"],
  sha1: "f4e3e9910be20cc7ae5bd44748d55980cf366e75" as string,
  source: `local lock, fence = KEYS[1], KEYS[2]
local value = redis.call("GET", lock)
if not value then
  return { "free" }
end
return { "held", value, redis.call("PTTL", lock), string.sub(redis.call("GET", fence) or "10", 2) }
` as string,
} as const;

/** Takes this node's lock, stored as the redlock package stores it, and proposes a token that is higher than every one this node has seen and not behind its clock (L8). Repeated under the same value it proposes the same. */
export const quorumPropose = {
  name: "lock.quorum-propose",
  keys: ["lock", "fence", "gone"],
  args: ["notAfterUs", "value", "ttlMs", "retentionMs"],
  rest: null,
  replies: ["granted", "held", "newer-format", "too-late"],
  sha1: "498b31d8723d4e3487cc6b85ffd6877ec7752211" as string,
  source: `local lock, fence, gone = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, value, ttlMs, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
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
local remembered = redis.call("GET", fence)
local newerFormat = remembered and string.sub(remembered, 1, 1) ~= "1" and string.sub(remembered, 1, 8)
local fenced = remembered and string.sub(remembered, 2)
local function remember(number)
  local keepUs = number > nowText and number or nowText
  redis.call("SET", fence, "1" .. number, "PXAT", string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs))
end
if newerFormat then
  return { "newer-format", newerFormat }
end
local holder = redis.call("GET", lock)
if (holder and holder ~= value) or redis.call("EXISTS", gone) == 1 then
  return { "held" }
end
if holder and fenced then
  return { "granted", fenced }
end
local proposal = nextToken(fenced)
remember(proposal)
redis.call("SET", lock, value, "PX", ttlMs)
return { "granted", proposal }
` as string,
} as const;

/** Frees this node's lock if it is the value's. With a seal the value is remembered as gone, so that a request of its acquire that arrives later takes nothing (L3). */
export const quorumRelease = {
  name: "lock.quorum-release",
  keys: ["lock", "gone"],
  args: ["notAfterUs", "value", "sealMs"],
  rest: null,
  replies: ["released", "lost", "too-late"],
  sha1: "69f3b848d674e77d90baedb74e6cd15942c22c94" as string,
  source: `local lock, gone = KEYS[1], KEYS[2]
local notAfterUs, value, sealMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local held = redis.call("GET", lock) == value
if held then
  redis.call("DEL", lock)
end
if sealMs > 0 then
  redis.call("SET", gone, value, "PX", sealMs)
end
return { held and "released" or "lost" }
` as string,
} as const;

/** Ends the owner's lease or its waiting, and hands the lease to the first live waiter (L6). Only the owner's (L2, L5). With a seal the owner is remembered as gone, so that a request of its acquire that arrives later grants nothing (L3). */
export const release = {
  name: "lock.release",
  keys: ["lease", "queue", "seen"],
  args: ["notAfterUs", "owner", "retentionMs", "sealMs", "rules"],
  rest: null,
  replies: ["released", "lost", "newer-format", "too-late"],
  sha1: "602acbf5632ebaa55b3e1a6f24209e8ee81f9bb5" as string,
  source: `local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, retentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local sealMs, rules = tonumber(ARGV[4]), ARGV[5]
retentionMs = math.max(retentionMs, sealMs)
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
local none = "0000000000000000"
local stored = redis.call("GET", lease)
local newerFormat = false
local token, since, terms, flag, holder = false, none, none, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token, since = string.sub(stored, 2, 17), string.sub(stored, 18, 33)
  terms, flag, holder = string.sub(stored, 34, 49), string.sub(stored, 50, 50), string.sub(stored, 51)
end
local function write(number, from, newTerms, newFlag, owner)
  local value = "1" .. number .. from .. newTerms .. newFlag .. owner
  local unit, time = "PX", tonumber(string.sub(newTerms, 1, 8)) + tonumber(string.sub(newTerms, 9, 16)) + retentionMs
  if number > nowText then
    unit, time = "PXAT", string.format("%.0f", math.ceil(number / 1000) + time)
  end
  if redis.pcall("SET", lease, value, unit, time).err then
    if stored then
      redis.call("PERSIST", lease)
    end
    redis.call("SET", lease, value, unit, time)
  end
end
if newerFormat then
  return "newer-format " .. newerFormat
end
local held = holder == owner and since ~= none
if held and flag ~= "q" and sealMs == 0 then
  write(token, none, terms, "-", owner)
  return "released"
end
local unpack = table.unpack or unpack
local sweepMax, publishCommand = tonumber(string.sub(rules, 1, 8)), string.sub(rules, 9)
local latestUs = nowUs + 60000000
local function liveHead(gone)
  for _ = 1, sweepMax do
    local head = redis.call("ZRANGE", queue, 0, 0)[1]
    if not head then
      return false
    end
    local untilUs = tonumber(redis.call("ZSCORE", seen, head) or 0)
    if head ~= gone and untilUs >= nowUs and untilUs <= latestUs then
      return head, untilUs
    end
    local dead = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(" .. nowText, "LIMIT", 0, sweepMax)
    for _, odd in ipairs(redis.call("ZRANGEBYSCORE", seen, "(" .. string.format("%.0f", latestUs), "+inf", "LIMIT", 0, sweepMax)) do
      dead[#dead + 1] = odd
    end
    dead[#dead + 1] = head
    redis.call("ZREM", queue, unpack(dead))
    redis.call("ZREM", seen, unpack(dead))
  end
  return false
end
local function leave(who, other)
  redis.call("ZREM", queue, who, other or who)
  redis.call("ZREM", seen, who, other or who)
end
local function forgetSeals()
  local over = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(0", "LIMIT", 0, sweepMax)
  if #over > 0 then
    redis.call("ZREM", seen, unpack(over))
  end
end
local function flagNow()
  if redis.call("EXISTS", queue) == 1 then
    return "q"
  end
  forgetSeals()
  return redis.call("EXISTS", seen) == 1 and "q" or "-"
end
local function channelOf(who)
  local place = string.match(who, "^([^/]*)/")
  return place and queue .. ":" .. place or queue
end
local function handTo(head, untilUs)
  local number, leaseMs = nextToken(token), math.ceil((untilUs - nowUs) / 1000)
  write(number, nowText, string.format("%08.0f", leaseMs) .. string.sub(terms, 9, 16), flagNow(), head)
  redis.pcall(publishCommand, channelOf(head), head .. " " .. number)
  return nowUs + (leaseMs + tonumber(string.sub(terms, 9, 16))) * 1000
end
local head, untilUs = false, 0
if held and flag == "q" then
  head, untilUs = liveHead(owner)
end
if flag == "q" or sealMs > 0 then
  leave(owner, head or owner)
end
if sealMs > 0 then
  forgetSeals()
  redis.call("ZADD", seen, string.format("%.0f", -nowUs - sealMs * 1000), "!" .. owner)
  redis.call("PEXPIRE", seen, retentionMs)
end
if head then
  handTo(head, untilUs)
elseif held then
  write(token, none, terms, flagNow(), owner)
elseif sealMs > 0 and flag ~= "q" then
  write(token or none, since, terms, "q", holder)
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
  sha1: "de711dfeac1401b579487f30778eef7731a86152" as string,
  source: `local lease = KEYS[1]
local notAfterUs, owner, newTerms, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local none = "0000000000000000"
local stored = redis.call("GET", lease)
local newerFormat = false
local token, since, terms, flag, holder = false, none, none, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token, since = string.sub(stored, 2, 17), string.sub(stored, 18, 33)
  terms, flag, holder = string.sub(stored, 34, 49), string.sub(stored, 50, 50), string.sub(stored, 51)
end
local function write(number, from, newTerms, newFlag, owner)
  local value = "1" .. number .. from .. newTerms .. newFlag .. owner
  local unit, time = "PX", tonumber(string.sub(newTerms, 1, 8)) + tonumber(string.sub(newTerms, 9, 16)) + retentionMs
  if number > nowText then
    unit, time = "PXAT", string.format("%.0f", math.ceil(number / 1000) + time)
  end
  if redis.pcall("SET", lease, value, unit, time).err then
    if stored then
      redis.call("PERSIST", lease)
    end
    redis.call("SET", lease, value, unit, time)
  end
end
if newerFormat then
  return "newer-format " .. newerFormat
end
if holder ~= owner or since == none then
  return "lost"
end
write(token, nowText, newTerms, flag, owner)
return "renewed"
` as string,
} as const;

/** Makes a resource forget its highest token. For operators, after the lock's server lost its tokens and its clock went back. A repeat of the same operation gets the first answer, and leaves alone what a later holder has written since (K1). */
export const resetFence = {
  name: "lock.reset-fence",
  keys: ["fence", "first"],
  args: ["notAfterUs", "repeatWithinMs"],
  rest: null,
  replies: ["reset", "absent", "newer-format", "too-late"],
  sha1: "5f36d4e8a8234d4c462d15985f8f120ec83c5628" as string,
  source: `local fence, first = KEYS[1], KEYS[2]
local notAfterUs, repeatWithinMs = tonumber(ARGV[1]), ARGV[2]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local highest = redis.call("GET", first)
if not highest then
  local fenced = redis.call("GET", fence)
  if fenced and string.sub(fenced, 1, 1) ~= "1" then
    return { "newer-format", string.sub(fenced, 1, 8) }
  end
  highest = string.sub(fenced or "", 2)
  redis.call("DEL", fence)
  redis.call("SET", first, highest, "PX", repeatWithinMs)
end
if highest == "" then
  return { "absent" }
end
return { "reset", highest }
` as string,
} as const;

/** Takes free leases and frees held ones of many names in one step, where nobody waits: the usual case. Whatever is not usual is left as it is and answered with "look"; acquire and release then decide. The requests do not depend on each other, so each has its guards before its own write. Repeated or run late it grants to nobody who has given up: a sealed owner's record is flagged (L3). */
export const takeOrFree = {
  name: "lock.take-or-free",
  keys: [],
  restKeys: "leases",
  args: ["notAfterUs", "newTerms", "keepMs"],
  rest: "requests",
  replies: ["done", "too-late"],
  sha1: "c635b769ceddcf9b72551790d3f232e8cbb89257" as string,
  source: `local notAfterUs, newTerms, keepMs = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local fixedArgs = 3
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local none, sub = "0000000000000000", string.sub
local outcomes = "done"
for index, lease in ipairs(KEYS) do
  local request, stored = ARGV[fixedArgs + index], redis.pcall("GET", lease)
  local since = type(stored) == "string" and sub(stored, 1, 1) == "1" and sub(stored, 18, 33)
  local outcome = "look"
  if sub(request, 1, 1) == "+" then
    local owner = sub(request, 2)
    if not stored or (since == none and sub(stored, 50, 50) ~= "q" and sub(stored, 2, 17) < nowText and sub(stored, 51) ~= owner) then
      local value = "1" .. nowText .. nowText .. newTerms .. "-" .. owner
      if not redis.pcall("SET", lease, value, "PX", keepMs).err then
        outcome = nowText
      end
    end
  elseif since and since ~= none and sub(stored, 50) == request then
    local value = sub(stored, 1, 17) .. none .. sub(stored, 34)
    if not redis.pcall("SET", lease, value, "KEEPTTL").err then
      outcome = "freed"
    end
  end
  outcomes = outcomes .. " " .. outcome
end
return outcomes
` as string,
} as const;
