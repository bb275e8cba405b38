--[[
arrange: sets timers that are not there, and decides about those that are. Collects what is to be written; write() does it.

Needs
  nowUs, nowText, nextToken, shard, unpack, remember, keepUs, isLease, generationOf, answerOf, operationOf
  due, data, notes, later, state
Gives
  dueMsOf(when)                                     the deadline that an item asks for
  set(kind, id, operation, dueMs, payload)          a timer that is not there; returns its answer
  rearrange(id, score, operation, when, payload)    one that is there; returns its answer
  write()                                           all of it, freeing writes first (K3)
  earliestMs                                        the earliest deadline that was set
]]
local generation = nextToken(shard[2])
local bornMs = math.floor(tonumber(generation) / 1000)
local nowMs = math.ceil(nowUs / 1000)
local earliestMs = math.huge
local scored, recorded, followed, memorized, unnoted = {}, {}, {}, {}, {}

local born, number = "", tonumber(generation)
for _ = 1, 10 do
  local digit = number % 36
  born = string.sub("0123456789abcdefghijklmnopqrstuvwxyz", digit + 1, digit + 1) .. born
  number = (number - digit) / 36
end

-- Writing numbers as text is what costs most here, and many timers of a batch share their delay. ".." keeps the 13 digits of a time in ms.
local dueMsByWhen, offsetByDueMs, scoreByDueMs = {}, {}, {}

local function dueMsOf(when)
  local dueMs = dueMsByWhen[when]
  if not dueMs then
    local ms = tonumber(string.sub(when, 3))
    dueMs = string.sub(when, 2, 2) == "+" and nowMs + ms or ms
    dueMsByWhen[when] = dueMs
  end
  return dueMs
end

-- An operation whose timer ends while a repeat of it can still arrive is remembered.
local function keepAnswer(id, record)
  if generationOf(record) > nowUs - keepUs then
    memorized[#memorized + 1] = "o" .. operationOf(record) .. " " .. id
    memorized[#memorized + 1] = answerOf(record)
  end
end

local function set(kind, id, operation, dueMs, payload)
  if not scoreByDueMs[dueMs] then
    offsetByDueMs[dueMs] = dueMs - bornMs .. ""
    scoreByDueMs[dueMs] = dueMs .. "000"
  end
  local answer = kind .. born .. offsetByDueMs[dueMs]
  local record = answer .. " " .. operation .. " " .. payload
  if kind == "f" then
    followed[#followed + 1] = id
    followed[#followed + 1] = dueMs .. " " .. record
    return answer
  end
  local count = #scored
  scored[count + 1] = scoreByDueMs[dueMs]
  scored[count + 2] = id
  recorded[count + 1] = id
  recorded[count + 2] = record
  if dueMs < earliestMs then
    earliestMs = dueMs
  end
  return answer
end

local function rearrange(id, score, operation, when, payload)
  local record, following = redis.call("HGET", data, id), redis.call("HGET", later, id)
  if record and operationOf(record) == operation then
    return answerOf(record)
  end
  local leased = isLease(score)
  local rival = record
  local rivalMs = tonumber(score) / 1000
  if following then
    local space = string.find(following, " ", 1, true)
    local next = string.sub(following, space + 1)
    if operationOf(next) == operation then
      return answerOf(next)
    end
    if leased then
      rival = next
      rivalMs = tonumber(string.sub(following, 1, space - 1))
    end
  elseif leased then
    rival = nil
  end
  local mode, dueMs = string.sub(when, 1, 1), dueMsOf(when)
  if rival and (mode == "k" or (mode == "e" and dueMs >= rivalMs)) then
    local offsetMs = rivalMs - math.floor(generationOf(rival) / 1000)
    local answer = "k" .. string.sub(rival, 2, 11) .. string.format("%.0f", offsetMs)
    memorized[#memorized + 1] = "o" .. operation .. " " .. id
    memorized[#memorized + 1] = answer
    return answer
  end
  if rival then
    keepAnswer(id, rival)
  end
  if following and not leased then
    keepAnswer(id, string.sub(following, string.find(following, " ", 1, true) + 1))
  end
  if leased then
    return set("f", id, operation, dueMs, payload)
  end
  unnoted[#unnoted + 1] = id
  return set("r", id, operation, dueMs, payload)
end

local function write()
  if #unnoted > 0 then
    redis.call("HDEL", notes, unpack(unnoted))
    redis.call("HDEL", later, unpack(unnoted))
  end
  if #scored > 0 then
    redis.call("ZADD", due, unpack(scored))
    redis.call("HSET", data, unpack(recorded))
  end
  if #followed > 0 then
    redis.call("HSET", later, unpack(followed))
  end
  if #scored + #followed > 0 then
    redis.call("HSET", state, "floor", generation)
  end
  remember(memorized)
end
