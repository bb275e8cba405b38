--[[
forget: removes a key's outcome and leaves a tombstone with a token of its own (K5), over which no earlier attempt can write (I2). That an
effect is possible is not forgotten (I8). A repeat gets its first answer (K1).

KEYS
  record      STRING  the key's record, and the channel of the hints to those who wait
  recovering  ZSET    unfinished keys that are recovered after their lease
  held        ZSET    unfinished keys that stay closed until they are resolved
ARGV
  notAfterUs   the bound in server time
  operationId  names this call
  retentionMs  how long the tombstone stays, at least
  publish      PUBLISH, or SPUBLISH on a Cluster
REPLIES
  {"forgotten"}
  {"absent"}  no more than a tombstone was there; one is there now
  {"newer-format", version}
  {"too-late", now}
]]
local record, recovering, held = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, operationId, retentionMs, publish = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
-- @include time
-- @include bound
-- @include token
-- @include record
-- @include expiry
-- @include stored
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
-- @include unlist
redis.call("DEL", record)
local tombstone = { state = "forgotten", token = token, print = "", owner = operationId, number = number, possible = possible,
  rule = "", begun = "", leased = "", length = "", refused = "0", operations = stored and stored.operations or "",
  ended = nowText, codec = "", result = "" }
remember(tombstone, answer == "absent" and "a" or "f", operationId)
redis.call("SET", record, packRecord(tombstone), "PXAT", untilMs)
redis.pcall(publish, record, "")
return { answer }
