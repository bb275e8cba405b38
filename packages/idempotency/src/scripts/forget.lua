--[[
forget: removes a key's outcome and leaves a tombstone with a token of its own (K5), over which no earlier attempt can write (I2). That an
effect is possible is not forgotten (I8). A repeat gets its first answer (K1).

KEYS
  record      HASH  state, token, owner and result of the key
  recovering  ZSET  unfinished keys that are recovered after their lease
  held        ZSET  unfinished keys that stay closed until they are resolved
  hints       channel of the wake-ups
ARGV
  notAfterUs   the bound in server time
  operationId  names this call
  retentionMs  how long the tombstone stays, at least
  member       the key in the index, and the hint
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"forgotten"}
  {"absent"}  no more than a tombstone was there; one is there now
  {"newer-format", version}
  {"too-late", now}
]]
local record, recovering, held, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, operationId, retentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local member, publish = ARGV[4], ARGV[5]
-- @include time
-- @include bound
-- @include token
local found = redis.call("HMGET", record, "v", "s", "q", "t", "n", "p", "a", "u")
local version, state, earlier, last, number = found[1], found[2], found[3], found[4], found[5]
local possible, answer, rule = found[6], found[7], found[8]
-- @include format
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
-- An attempt of another instance may be remembered for longer than ours would be.
local keepMs = math.max(retentionMs, redis.call("PTTL", record))
local token = nextToken(last)
-- @include unlist
redis.call("DEL", record)
redis.call("HSET", record, "v", "1", "s", "forgotten", "t", token, "n", number or "0", "o", operationId,
  "q", operationId, "a", answer, "p", possible or "0", "d", math.floor(nowUs / 1000))
redis.call("PEXPIREAT", record, math.floor(math.max(nowUs, tonumber(token)) / 1000) + keepMs)
redis.pcall(publish, hints, member)
if answer == "absent" then
  return { "absent" }
end
return { "forgotten" }
