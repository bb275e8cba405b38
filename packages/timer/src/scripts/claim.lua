--[[
claim: takes acknowledgements and leases due timers, as one request that is safe to repeat (K7).

Each timer of the batch gets the same token and the same end of lease; that pair identifies the lease. Leases that ended without an
answer are left to reap. Acknowledgements that are not plain (extended, cancelled, rescheduled or lost) are left to settle.

KEYS
  due      ZSET    timer id → deadline or end of lease in microseconds
  data     HASH    timer id → record
  notes    HASH    timer id → note (see lease)
  later    HASH    timer id → the generation that follows the running one
  state    HASH    what the shard remembers of itself
  memoryA  HASH    what has just ended
  memoryB  HASH    the same, in turn
ARGV
  layout      the form in which the client knows the shard
  notAfterUs  bound in server time
  lane        worker and lane
  sequence    number of the request in its lane; a repeat has the same and gets the same batch
  limit       most timers to lease
  leaseUs     length of a lease
  ackCount    number of acknowledgements
  acks...     id, end of lease, and the record's answer and operation when it is young (else empty)
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"outrun", now}  a later request of this lane was executed
  {"claimed", now, token, leaseEnd, next, trouble, refused, timers, records, notes}
       next: earliest deadline that is not due, or ""; trouble: "", "lapsed" (leases that reap must see to), or "back" (so did the
       clock); refused: ids for settle; timers: id, deadline; records, notes: in the order of timers, notes empty when there are none
]]
local due, data, notes, later, state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local layout, notAfterUs, lane, sequence = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local limit, leaseUs, ackCount = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local acksAt = 8
-- @include time
-- @include bound
-- @include shard
-- @include token
-- @include memory
-- @include lease

local trouble = tonumber(shard[2]) > nowUs + 1000000 and "back" or ""
local crashedOrRetried = redis.call("EXISTS", notes, later) > 0

-- A repeat: what of its batch is still leased as it was. The rest has lapsed and been taken over.
local earlier = recall({ "w" .. lane })[1]
local first = earlier and cmsgpack.unpack(earlier)
if first and tonumber(first[1]) > tonumber(sequence) then
  return { "outrun", nowText }
elseif first and first[1] == sequence then
  local ids, timers = {}, {}
  for at = 1, #first[5], 2 do
    if redis.call("ZSCORE", due, first[5][at]) == first[3] then
      ids[#ids + 1] = first[5][at]
      timers[#timers + 1] = first[5][at]
      timers[#timers + 1] = first[5][at + 1]
    end
  end
  local records = #ids > 0 and redis.call("HMGET", data, unpack(ids)) or {}
  local noted = #ids > 0 and redis.call("HMGET", notes, unpack(ids)) or {}
  return { "claimed", nowText, first[2], first[3], nowText, trouble, first[4], timers, records, noted }
end

local removed, refused, memorized = {}, {}, {}
if ackCount > 0 then
  local acked = {}
  for at = acksAt, #ARGV, 3 do
    acked[#acked + 1] = ARGV[at]
  end
  local scores = redis.call("ZMSCORE", due, unpack(acked))
  local noted = crashedOrRetried and redis.call("HMGET", notes, unpack(acked)) or {}
  local followings = crashedOrRetried and redis.call("HMGET", later, unpack(acked)) or {}
  for index, id in ipairs(acked) do
    local at = acksAt + (index - 1) * 3
    if scores[index] ~= ARGV[at + 1] or noted[index] or followings[index] then
      refused[#refused + 1] = id
    else
      removed[#removed + 1] = id
      memorized[#memorized + 1] = "i" .. id
      memorized[#memorized + 1] = nowText
      local young = ARGV[at + 2]
      local space = string.find(young, " ", 1, true)
      if space then
        memorized[#memorized + 1] = "o" .. string.sub(young, space + 1) .. " " .. id
        memorized[#memorized + 1] = string.sub(young, 1, space - 1)
      end
    end
  end
end

local ids, timers = {}, {}
local records, noted, nextDue = {}, {}, ""
if limit > 0 and not shard[7] then
  local found = redis.call("ZRANGE", due, "-inf", nowText, "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
  for at = 1, #found, 2 do
    if isLease(found[at + 1]) then
      trouble = trouble == "" and "lapsed" or trouble
    else
      ids[#ids + 1] = found[at]
      timers[#timers + 1] = found[at]
      timers[#timers + 1] = found[at + 1]
    end
  end
  if #found == limit * 2 then
    nextDue = nowText
  else
    nextDue = redis.call("ZRANGE", due, "(" .. nowText, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")[2] or ""
  end
end
if #ids > 0 then
  records = redis.call("HMGET", data, unpack(ids))
  noted = crashedOrRetried and redis.call("HMGET", notes, unpack(ids)) or {}
end
if #ids + ackCount == 0 then
  return { "claimed", nowText, "", "", nextDue, trouble, refused, timers, records, noted }
end

if #removed > 0 then
  redis.call("ZREM", due, unpack(removed))
  redis.call("HDEL", data, unpack(removed))
else
  -- Deletes nothing. Once a freeing write was made, Redis lets the others pass when it is out of memory (K3): what is due still fires.
  redis.call("HDEL", state, "")
end
local token, leaseEnd = "", ""
if #ids > 0 then
  token = nextToken(shard[2])
  leaseEnd = leaseEndText(leaseUs)
  local leases = {}
  for index, id in ipairs(ids) do
    leases[index * 2 - 1] = leaseEnd
    leases[index * 2] = id
  end
  redis.call("ZADD", due, unpack(leases))
end
local leased = string.format("%.0f", tonumber(shard[3]) + #ids - #removed)
redis.call("HSET", state, "floor", token ~= "" and token or shard[2], "leased", leased)
if leaseUs > tonumber(shard[8] or 0) then
  redis.call("HSET", state, "leaseMaxUs", string.format("%.0f", leaseUs))
end
memorized[#memorized + 1] = "w" .. lane
memorized[#memorized + 1] = cmsgpack.pack({ sequence, token, leaseEnd, refused, timers })
remember(memorized)
return { "claimed", nowText, token, leaseEnd, nextDue, trouble, refused, timers, records, noted }
