// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Starts the key's next attempt, or says why there is none to start. A repeat by the same owner gets its first answer (K1). A key whose attempt has outlived its lease is taken over under a higher token (K5), unless it stays closed until it is resolved. */
export const claim = {
  name: "idempotency.claim",
  keys: ["record", "recovering", "held"],
  args: ["notAfterUs", "owner", "fingerprint", "leaseUs", "retentionMs", "indexMs", "onUnknown", "member"],
  rest: null,
  replies: ["granted", "stored", "mismatch", "busy", "unknown", "newer-format", "too-late"],
  sha1: "6e5742f48574928a0ccc07f3d9fa09aef7824c8b" as string,
  source: `local record, recovering, held = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, fingerprint, leaseUs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local retentionMs, indexMs, onUnknown, member = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
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
local found = redis.call("HMGET", record, "v", "s", "t", "n", "o", "f", "e", "l", "u", "p")
local version, state, last, number, holder = found[1], found[2], found[3], tonumber(found[4] or 0), found[5]
local print, leaseEndUs, lengthUs, rule, possible = found[6], tonumber(found[7] or 0), tonumber(found[8] or 0), found[9], found[10]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
if holder == owner and (state == "running" or state == "released") then
  return { "granted", tonumber(last), number, tonumber(possible) }
end
if print and print ~= "" and fingerprint ~= "" and print ~= fingerprint then
  return { "mismatch" }
end
if state == "completed" or state == "failed" then
  local stored = redis.call("HMGET", record, "c", "r")
  return { "stored", state, stored[1], stored[2] }
end
if state == "unknown" and rule == "hold" then
  return { "unknown" }
end
if state == "running" or state == "unknown" then
  local remainingUs = leaseEndUs - nowUs
  if remainingUs > lengthUs then
    redis.call("HSET", record, "e", string.format("%.0f", nowUs + lengthUs))
    remainingUs = lengthUs
  end
  if remainingUs > 0 then
    return { "busy", math.ceil(remainingUs / 1000) }
  end
  if rule == "hold" then
    return { "unknown" }
  end
  possible = "1"
end
local token = nextToken(last)
local startedMs = math.floor(nowUs / 1000)
if onUnknown == "hold" then
  redis.call("ZADD", held, startedMs, member)
  redis.call("ZREM", recovering, member)
else
  redis.call("ZADD", recovering, startedMs, member)
end
redis.call("ZREMRANGEBYSCORE", recovering, "-inf", startedMs - indexMs)
redis.call("HSET", record, "v", "1", "s", "running", "t", token, "n", number + 1, "o", owner, "f", fingerprint,
  "e", string.format("%.0f", nowUs + leaseUs), "l", string.format("%.0f", leaseUs), "u", onUnknown, "p", possible or "0",
  "b", startedMs)
if onUnknown == "hold" then
  redis.call("PERSIST", record)
else
  redis.call("PEXPIREAT", record, math.floor((math.max(nowUs, tonumber(token)) + leaseUs) / 1000) + retentionMs)
  redis.call("PEXPIRE", recovering, indexMs)
end
return { "granted", tonumber(token), number + 1, tonumber(possible or 0) }
` as string,
} as const;

/** Stores the outcome of an attempt together with its state. Only the attempt that the record names may do so, and what is stored never changes (I2). A repeat gets its first answer (K1). A record that Redis has lost is made again, as long as its token is younger than the tombstone that `forget` would have left. */
export const finish = {
  name: "idempotency.finish",
  keys: ["record", "recovering", "held", "hints"],
  args: ["notAfterUs", "owner", "token", "number", "fingerprint", "outcome", "codec", "result", "retentionMs", "member", "publish"],
  rest: null,
  replies: ["stored", "refused", "newer-format", "too-late"],
  sha1: "ae0770c67b0ec9dc7df430e1dc311b169eb24a3d" as string,
  source: `local record, recovering, held, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, owner, token, number, fingerprint = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local outcome, codec, result, retentionMs = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local member, publish = ARGV[10], ARGV[11]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local found = redis.call("HMGET", record, "v", "s", "o", "t", "u")
local version, state, holder, current, rule = found[1], found[2], found[3], found[4], found[5]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
if state == outcome and holder == owner then
  return { "stored" }
end
local forgettableUs = tonumber(token) + retentionMs * 1000
local lost = not state and forgettableUs > nowUs
if not lost and (state ~= "running" or holder ~= owner) then
  if state then
    redis.pcall("HINCRBY", record, "x", 1)
  end
  return { "refused", state or "absent", current or "0" }
end
if rule ~= "hold" then
  redis.call("ZREM", recovering, member)
end
if rule ~= "recover" then
  redis.call("ZREM", held, member)
end
redis.call("HSET", record, "v", "1", "s", outcome, "t", token, "n", number, "o", owner, "f", fingerprint, "c", codec,
  "r", result, "d", math.floor(nowUs / 1000))
redis.call("PEXPIREAT", record, math.floor(math.max(nowUs, tonumber(token)) / 1000) + retentionMs)
redis.pcall(publish, hints, member)
return { "stored" }
` as string,
} as const;

/** Removes a key's outcome and leaves a tombstone with a token of its own (K5), over which no earlier attempt can write (I2). That an effect is possible is not forgotten (I8). A repeat gets its first answer (K1). */
export const forget = {
  name: "idempotency.forget",
  keys: ["record", "recovering", "held", "hints"],
  args: ["notAfterUs", "operationId", "retentionMs", "member", "publish"],
  rest: null,
  replies: ["forgotten", "absent", "newer-format", "too-late"],
  sha1: "a8363ba667e7c8be4aab1fd3f3b23bb75ad1157f" as string,
  source: `local record, recovering, held, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, operationId, retentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local member, publish = ARGV[4], ARGV[5]
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
local found = redis.call("HMGET", record, "v", "s", "q", "t", "n", "p", "a", "u")
local version, state, earlier, last, number = found[1], found[2], found[3], found[4], found[5]
local possible, answer, rule = found[6], found[7], found[8]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
if earlier == operationId then
  if answer == "absent" then
    return { "absent" }
  end
  return { "forgotten" }
end
answer = "forgotten"
if not state or state == "forgotten" then
  answer = "absent"
elseif state ~= "released" then
  possible = "1"
end
local keepMs = math.max(retentionMs, redis.call("PTTL", record))
local token = nextToken(last)
if rule ~= "hold" then
  redis.call("ZREM", recovering, member)
end
if rule ~= "recover" then
  redis.call("ZREM", held, member)
end
redis.call("DEL", record)
redis.call("HSET", record, "v", "1", "s", "forgotten", "t", token, "n", number or "0", "o", operationId,
  "q", operationId, "a", answer, "p", possible or "0", "d", math.floor(nowUs / 1000))
redis.call("PEXPIREAT", record, math.floor(math.max(nowUs, tonumber(token)) / 1000) + keepMs)
redis.pcall(publish, hints, member)
if answer == "absent" then
  return { "absent" }
end
return { "forgotten" }
` as string,
} as const;

/** Ends an attempt whose outcome is unknown. The key stays closed: for one more lease when it is recovered, until it is resolved when it is held. A repeat gets its first answer (K1). */
export const hold = {
  name: "idempotency.hold",
  keys: ["record", "hints"],
  args: ["notAfterUs", "owner", "retentionMs", "member", "publish"],
  rest: null,
  replies: ["unknown", "refused", "newer-format", "too-late"],
  sha1: "5c453c7e77153827b0518a1ac1a62e4b5228b68f" as string,
  source: `local record, hints = KEYS[1], KEYS[2]
local notAfterUs, owner, retentionMs, member, publish = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local found = redis.call("HMGET", record, "v", "s", "o", "t", "l", "u")
local version, state, holder, token, lengthUs, rule = found[1], found[2], found[3], found[4], tonumber(found[5]), found[6]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
if state == "unknown" and holder == owner then
  return { "unknown" }
end
if state ~= "running" or holder ~= owner then
  if state then
    redis.pcall("HINCRBY", record, "x", 1)
  end
  return { "refused", state or "absent", token or "0" }
end
if rule == "hold" then
  redis.call("PERSIST", record)
else
  redis.call("PEXPIREAT", record, math.floor((math.max(nowUs, tonumber(token)) + lengthUs) / 1000) + retentionMs)
end
redis.call("HSET", record, "s", "unknown", "e", string.format("%.0f", nowUs + lengthUs), "d", math.floor(nowUs / 1000))
redis.pcall(publish, hints, member)
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
  sha1: "6f663c74fc1b7c7945401e5bba7eb2cd4ad18b1e" as string,
  source: `local record = KEYS[1]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
local found = redis.call("HMGET", record, "v", "s", "t", "n", "p", "b", "d", "e", "l", "u", "c", "x")
local version, state, token, number, possible = found[1], found[2], found[3], found[4], found[5]
local startedMs, endedMs, leaseEndUs, lengthUs = found[6], found[7], tonumber(found[8] or 0), tonumber(found[9] or 0)
local rule, codec, refused = found[10], found[11], found[12]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
if not state then
  return { "absent" }
end
local remainingMs = math.max(0, math.ceil(math.min(leaseEndUs - nowUs, lengthUs) / 1000))
return { "record", state, token, number, possible or "0", startedMs or "0", endedMs or "0", remainingMs, rule or "", codec or "",
  redis.call("HSTRLEN", record, "r"), refused or "0", redis.call("PTTL", record) }
` as string,
} as const;

/** A page of unfinished keys, the oldest attempt first. Changes nothing. */
export const list = {
  name: "idempotency.list",
  keys: ["index"],
  args: ["fromMs", "olderThanMs", "countMax"],
  rest: null,
  replies: ["page"],
  sha1: "416345c7a5965cee3698d41e094c656c0df215dc" as string,
  source: `local index = KEYS[1]
local fromMs, olderThanMs, countMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
local untilMs = math.floor(nowUs / 1000) - olderThanMs
return { "page", redis.call("ZRANGEBYSCORE", index, fromMs, untilMs, "WITHSCORES", "LIMIT", 0, countMax) }
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
  keys: ["record", "recovering", "held", "hints"],
  args: ["notAfterUs", "owner", "effect", "retentionMs", "member", "publish"],
  rest: null,
  replies: ["released", "refused", "newer-format", "too-late"],
  sha1: "bda3f2feca92bc20b6935cae7d40a92da24cb1c7" as string,
  source: `local record, recovering, held, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, owner, effect, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local member, publish = ARGV[5], ARGV[6]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local found = redis.call("HMGET", record, "v", "s", "o", "t", "p", "u")
local version, state, holder, token, possible, rule = found[1], found[2], found[3], found[4], found[5], found[6]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
if state == "released" and holder == owner then
  return { "released" }
end
if state ~= "running" or holder ~= owner then
  if state then
    redis.pcall("HINCRBY", record, "x", 1)
  end
  return { "refused", state or "absent", token or "0" }
end
if effect == "possible" then
  possible = "1"
end
if rule ~= "hold" then
  redis.call("ZREM", recovering, member)
end
if rule ~= "recover" then
  redis.call("ZREM", held, member)
end
redis.call("HSET", record, "s", "released", "p", possible, "d", math.floor(nowUs / 1000))
if possible == "0" then
  redis.call("HSET", record, "f", "")
end
redis.call("PEXPIREAT", record, math.floor(math.max(nowUs, tonumber(token)) / 1000) + retentionMs)
redis.pcall(publish, hints, member)
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
  sha1: "ff636bd70ed76a20ec1e916de90bc8c5eefacbde" as string,
  source: `local record = KEYS[1]
local notAfterUs, owner, retentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local found = redis.call("HMGET", record, "v", "s", "o", "t", "l", "u")
local version, state, holder, token, lengthUs, rule = found[1], found[2], found[3], found[4], tonumber(found[5]), found[6]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
if state ~= "running" or holder ~= owner then
  return { "lost" }
end
if rule == "hold" then
  redis.call("PERSIST", record)
else
  redis.call("PEXPIREAT", record, math.floor((math.max(nowUs, tonumber(token)) + lengthUs) / 1000) + retentionMs)
end
redis.call("HSET", record, "e", string.format("%.0f", nowUs + lengthUs))
return { "renewed" }
` as string,
} as const;

/** An operator settles a key that no live attempt holds. It takes a token of its own (K5), so that the attempt it overrules can write nothing any more. A repeat gets its first answer (K1). */
export const resolve = {
  name: "idempotency.resolve",
  keys: ["record", "recovering", "held", "hints"],
  args: ["notAfterUs", "operationId", "outcome", "effect", "codec", "result", "retentionMs", "member", "publish"],
  rest: null,
  replies: ["resolved", "settled", "busy", "absent", "newer-format", "too-late"],
  sha1: "27316fd2cf6764cd093dda0198244a0a45919480" as string,
  source: `local record, recovering, held, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, operationId, outcome, effect = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local codec, result, retentionMs, member, publish = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]
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
local found = redis.call("HMGET", record, "v", "s", "q", "t", "e", "l", "u")
local version, state, earlier, last = found[1], found[2], found[3], found[4]
local leaseEndUs, lengthUs, rule = tonumber(found[5] or 0), tonumber(found[6] or 0), found[7]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
if earlier == operationId then
  return { "resolved" }
end
if not state or state == "forgotten" then
  return { "absent" }
end
if state == "completed" or state == "failed" then
  return { "settled", state }
end
local remainingUs = leaseEndUs - nowUs
if remainingUs > lengthUs then
  redis.call("HSET", record, "e", string.format("%.0f", nowUs + lengthUs))
  remainingUs = lengthUs
end
if state == "running" and remainingUs > 0 then
  return { "busy", math.ceil(remainingUs / 1000) }
end
local token = nextToken(last)
if rule ~= "hold" then
  redis.call("ZREM", recovering, member)
end
if rule ~= "recover" then
  redis.call("ZREM", held, member)
end
redis.call("HSET", record, "s", outcome, "t", token, "o", operationId, "q", operationId, "d", math.floor(nowUs / 1000))
if outcome ~= "released" then
  redis.call("HSET", record, "c", codec, "r", result)
elseif effect == "none" then
  redis.call("HSET", record, "p", "0", "f", "")
else
  redis.call("HSET", record, "p", "1")
end
redis.call("PEXPIREAT", record, math.floor(math.max(nowUs, tonumber(token)) / 1000) + retentionMs)
redis.pcall(publish, hints, member)
return { "resolved" }
` as string,
} as const;
