--[[
memory: what has just ended, in two hashes that take turns: each is emptied by one UNLINK when its turn comes, so that nothing is ever
purged one by one. A record is kept for one turn at least (keepUs) and two at most.

Fields
  "i" id                 mark: when the timer ended in any way (reconcile), and, if something had set it, a space and the head of its
                         record, so that a repeat of that operation finds its answer (K1)
  kind operation " " id  the answer that an operation got (K1). An operation is what its kind of call has named so: s schedule, c cancel,
                         h fireNow, r redrive, d drop, e the end of a firing
  "x" id                 when the timer was cancelled (T5)
  "w" worker lane        the last request of a worker's lane (K7)

Whatever is remembered of a timer that is not there, its mark is there and younger: without a mark, nobody needs to look further.

Needs
  nowUs, nowText  from time
  shard, unpack   from shard
  state, memoryA, memoryB
Gives
  recall(fields)             values in order, nil or false where nothing is remembered
  recallMarks(ids)           marks in order, likewise
  answerInMark(mark, operation)  the answer that this operation of a schedule got, or nil
  keepMark(id, mark)         collects what a mark knows, before the next end of the timer writes another one; mark may be nil
  memorize(field, value)     collects
  remember()                 writes it; a growing write, so it comes last (K3)
  keepUs
]]
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end

local memorized, memorizedCount = {}, 0

local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end

local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end

local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end

local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end

local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end

local function remember()
  if #memorized == 0 then
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
  local added = redis.call("HSET", inUse, unpack(memorized))
  -- Also in the midst of a turn the hash may be a new one: what was in it was carried away, or has expired and the clock went back.
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
