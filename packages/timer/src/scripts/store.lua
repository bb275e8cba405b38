--[[
store: takes over what was packed in another shard, each item at most once. A lease among it is one that nobody has counted: it stood in
a shard whose state was lost, or of which a failover took back that it was given up, which is sealed without waiting for anybody. What such a
shard had of a timer yields to a later generation.

KEYS
  index   ZSET  timer id → score: pending timers, or dead letters
  bodies  HASH  timer id → record, or epitaph
  notes   HASH  timer id → note
  later   HASH  timer id → the generation that follows
  state   HASH  what the shard remembers of itself
ARGV
  layout      of the sealed shard, or of one that is in use again
  notAfterUs  bound in server time
  part        due (timers) or dead (dead letters)
  items...    id, score, body, note or "", following or ""
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"stored", now}
]]
local index, bodies, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, part = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local itemsAt = 4
-- @include time
-- @include bound
-- @include shard
-- @include lease

-- Where others have brought this move to its end meanwhile, leases that were taken back are still counted.
local isCounted, leased = not string.find(layout, ">", 1, true), tonumber(shard[3])
redis.call("HLEN", bodies)
redis.call("HLEN", notes)
redis.call("HLEN", later)
for at = itemsAt, #ARGV, 5 do
  local id, score, body, note, following = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local known = redis.call("ZSCORE", index, id)
  local isLater = known and part == "due" and string.sub(body, 2, 11) > string.sub(redis.call("HGET", bodies, id) or "", 2, 11)
  if isLater then
    redis.call("HDEL", notes, id)
    redis.call("HDEL", later, id)
    if isLease(known) and isCounted then
      leased = leased - 1
      redis.call("HSET", state, "leased", string.format("%.0f", leased))
    end
  end
  if isLater or not known then
    if part == "due" and isLease(score) then
      redis.call("HDEL", state, "endsUs")
    end
    redis.call("ZADD", index, score, id)
    redis.call("HSET", bodies, id, body)
    if note ~= "" then
      redis.call("HSET", notes, id, note)
    end
    if following ~= "" then
      redis.call("HSET", later, id, following)
    end
    if note .. following ~= "" then
      redis.call("HDEL", state, "plain")
    end
  end
end
return { "stored", nowText }
