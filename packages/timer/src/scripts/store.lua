--[[
store: takes over what was packed in another shard, each item at most once. A shard of which a failover took back that it was given up is
sealed without waiting for anybody, so a lease may be among it. What such a shard had of a timer yields to how far it has come elsewhere, and a
dead letter to a later one.

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

-- How far a timer has come: its generation, the one that follows, attempts that have begun, and whether one of them vanished.
local function progressOf(body, following, note)
  local next = string.match(following, "^%d+ %a(%w%w%w%w%w%w%w%w%w%w)") or "0000000000"
  return string.sub(body, 2, 11) .. next .. string.sub(note, 1, 5)
end

local leased = tonumber(shard[3])
redis.call("HLEN", bodies)
redis.call("HLEN", notes)
redis.call("HLEN", later)
for at = itemsAt, #ARGV, 5 do
  local id, score, body, note, following = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local known = redis.call("ZSCORE", index, id)
  local isNews = not known
  if known and part == "dead" then
    isNews = tonumber(score) > tonumber(known)
  elseif known then
    local kept = { redis.call("HGET", bodies, id), redis.call("HGET", later, id), redis.call("HGET", notes, id) }
    isNews = progressOf(body, following, note) > progressOf(kept[1] or "", kept[2] or "", kept[3] or "")
  end
  if isNews and part == "due" then
    redis.call("HDEL", notes, id)
    redis.call("HDEL", later, id)
    if isLease(known) then
      leased = leased - 1
    end
    if isLease(score) then
      leased = leased + 1
      redis.call("HDEL", state, "endsUs")
    end
  end
  if isNews then
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
redis.call("HSET", state, "leased", string.format("%.0f", leased))
return { "stored", nowText }
