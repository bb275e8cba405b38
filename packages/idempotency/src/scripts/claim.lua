--[[
claim: starts the key's next attempt, or says why there is none to start. A repeat by the same owner gets its first answer (K1).
A key whose attempt has outlived its lease is taken over under a higher token (K5), unless it stays closed until it is resolved.

KEYS
  record      HASH  state, token, owner and result of the key
  recovering  ZSET  unfinished keys that are recovered after their lease, by the start of their attempt in milliseconds
  held        ZSET  unfinished keys that stay closed until they are resolved
ARGV
  notAfterUs   the bound in server time
  owner        names this call, and the attempt that it may start
  fingerprint  of the payload, or empty when payloads are not compared
  leaseUs      length of the lease
  retentionMs  how long the key is remembered after its lease
  indexMs      how long an unfinished key is listed
  onUnknown    recover or hold
  member       the key in the index
REPLIES
  {"granted", token, number, recovered}  recovered is 1 when an earlier attempt may have had an effect
  {"stored", state, codec, result}
  {"mismatch"}
  {"busy", remainingMs}
  {"unknown"}
  {"newer-format", version}
  {"too-late", now}
]]
local record, recovering, held = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, fingerprint, leaseUs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local retentionMs, indexMs, onUnknown, member = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
-- @include time
-- @include bound
-- @include token
local found = redis.call("HMGET", record, "v", "s", "t", "n", "o", "f", "e", "l", "u", "p")
local version, state, last, number, holder = found[1], found[2], found[3], tonumber(found[4] or 0), found[5]
local print, leaseEndUs, lengthUs, rule, possible = found[6], tonumber(found[7] or 0), tonumber(found[8] or 0), found[9], found[10]
-- @include format
if holder == owner and (state == "running" or state == "released") then
  return { "granted", tonumber(last), number, tonumber(possible) }
end
-- Another payload is told so whether or not the key is busy (I3).
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
  -- The clock went back: the lease ends at its length from now on (K8).
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
-- A growing write comes first: when memory is out nothing is claimed.
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
  -- The token is remembered for its time plus the retention, also when it is ahead of the clock (K5).
  redis.call("PEXPIREAT", record, math.floor((math.max(nowUs, tonumber(token)) + leaseUs) / 1000) + retentionMs)
  redis.call("PEXPIRE", recovering, indexMs)
end
return { "granted", tonumber(token), number + 1, tonumber(possible or 0) }
