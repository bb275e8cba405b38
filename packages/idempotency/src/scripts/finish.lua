--[[
finish: stores the outcome of an attempt together with its state. Only the attempt that the record names may do so, and what is stored
never changes (I2). A repeat gets its first answer (K1). A record that Redis has lost is made again, as long as its token is younger than
the tombstone that `forget` would have left.

KEYS
  record      HASH  state, token, owner and result of the key
  recovering  ZSET  unfinished keys that are recovered after their lease
  held        ZSET  unfinished keys that stay closed until they are resolved
  hints       channel of the wake-ups
ARGV
  notAfterUs   the bound in server time
  owner        the attempt's
  token        the attempt's
  number       the attempt's
  fingerprint  of its payload
  outcome      completed or failed
  codec        how the result is encoded
  result       bytes
  retentionMs  how long the outcome is kept
  member       the key in the index, and the hint
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"stored"}
  {"refused", state, token}
  {"newer-format", version}
  {"too-late", now}
]]
local record, recovering, held, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, owner, token, number, fingerprint = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local outcome, codec, result, retentionMs = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local member, publish = ARGV[10], ARGV[11]
-- @include time
-- @include bound
local found = redis.call("HMGET", record, "v", "s", "o", "t", "u")
local version, state, holder, current, rule = found[1], found[2], found[3], found[4], found[5]
-- @include format
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
-- @include unlist
redis.call("HSET", record, "v", "1", "s", outcome, "t", token, "n", number, "o", owner, "f", fingerprint, "c", codec,
  "r", result, "d", math.floor(nowUs / 1000))
redis.call("PEXPIREAT", record, math.floor(math.max(nowUs, tonumber(token)) / 1000) + retentionMs)
redis.pcall(publish, hints, member)
return { "stored" }
