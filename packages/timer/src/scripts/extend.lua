--[[
extend: prolongs leases, and puts on record that their attempts have begun. Safe to repeat: an extended lease is known by its token. The
highest number given out rises to this time, so that a clock which goes back afterwards is noticed (K8).

KEYS
  due    ZSET  timer id → deadline or end of lease in microseconds
  notes  HASH  timer id → note (see lease)
  state  HASH  what the shard remembers of itself
ARGV
  layout      the form in which the client knows the shard
  notAfterUs  bound in server time
  leaseUs     length of a lease from now
  items...    id, end of lease at the claim, token, attempts begun
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"extended", now, outcomes}  a letter per item: r renewed, c cancelled (held, but not prolonged), l lost
]]
local due, notes, state = KEYS[1], KEYS[2], KEYS[3]
local layout, notAfterUs, leaseUs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local itemsAt = 4
-- @include time
-- @include bound
-- @include shard
-- @include lease

local ids = {}
for at = itemsAt, #ARGV, 4 do
  ids[#ids + 1] = ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local noted = redis.call("HMGET", notes, unpack(ids))
local leaseEnd = leaseEndText(leaseUs)
local outcomes, rescored, renoted = "", {}, {}
for index, id in ipairs(ids) do
  local at = itemsAt + (index - 1) * 4
  local score, note, token = scores[index], noted[index], ARGV[at + 2]
  if not isLease(score) or (score ~= ARGV[at + 1] and tokenOf(note) ~= token) then
    outcomes = outcomes .. "l"
  elseif isCancelled(note) then
    outcomes = outcomes .. "c"
  else
    outcomes = outcomes .. "r"
    rescored[#rescored + 1] = leaseEnd
    rescored[#rescored + 1] = id
    renoted[#renoted + 1] = id
    renoted[#renoted + 1] = makeNote(tonumber(ARGV[at + 3]), isSuspect(note), false, token)
  end
end
if #rescored > 0 then
  redis.call("HDEL", state, "plain")
  redis.call("HSET", notes, unpack(renoted))
  redis.call("ZADD", due, unpack(rescored))
  if nowText > shard[2] then
    redis.call("HSET", state, "floor", nowText)
  end
end
return { "extended", nowText, outcomes }
