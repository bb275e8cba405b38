--[[
memory: what has just ended, in two hashes that take turns: each is emptied by one UNLINK when its turn comes, so that nothing is ever
purged one by one. A record is kept for one turn at least (keepUs) and two at most.

Fields
  "o" operation " " id   the answer that the operation got (K1)
  "x" id                 when the timer was cancelled (T5)
  "i" id                 when it ended in any way (reconcile)
  "w" worker lane        the last request of a worker's lane (K7)

Needs
  nowUs, nowText  from time
  shard, unpack   from shard
  state, memoryA, memoryB
Gives
  recall(fields)    values in order, false where nothing is remembered
  remember(pairs)   writes field and value in turn; a growing write, so it comes last (K3)
  keepUs
]]
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end

local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found = redis.call("HMGET", inUse, unpack(fields))
  local older = redis.call("HMGET", atRest, unpack(fields))
  for index = 1, #fields do
    found[index] = found[index] or older[index]
  end
  return found
end

local function remember(pairs)
  if #pairs == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    -- The clock went back: the turn begins anew, or it would last until the clock has caught up (K8).
    redis.call("HSET", state, "sideUs", nowText)
  end
  redis.call("HSET", inUse, unpack(pairs))
  if ageUs >= keepUs then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
