--[[
arrange: sets timers that are not there, and decides about those that are. Collects what is to be written; write() does it.

Needs
  nowUs, nowText, nextToken, shard, unpack, memorize, remember, isLease, generationOf, answerAndOperation,
  dueMsAndRecord, operationIn, keepAnswer
  due, data, notes, later, state
Gives
  dueMsOf(when)                     the deadline that an item asks for
  setAll(kind, ids, bodies, first, last, dueMs)  timers with one deadline; a body is operation, a space, payload; returns their answer
  set(kind, id, dueMs, body)        one, or what follows the running generation
  rearrange(id, score, when, body)  one that is there; returns its answer, or "u" when it is to be kept and is no record
  write()                           all of it, freeing writes first; then the records, whose key nobody may have asked for its type (K3)
  earliestMs                        the earliest deadline that was set
]]
local generation = nextToken(shard[2])
local bornMs = math.floor(tonumber(generation) / 1000)
local nowMs = math.ceil(nowUs / 1000)
local earliestMs = math.huge
local scored, recorded, followed, unnoted = {}, {}, {}, {}

local born, number = "", tonumber(generation)
for _ = 1, 10 do
  local digit = number % 36
  born = string.sub("0123456789abcdefghijklmnopqrstuvwxyz", digit + 1, digit + 1) .. born
  number = (number - digit) / 36
end

-- Writing numbers as text is what costs most here, and many timers of a batch share their delay. ".." keeps the 13 digits of a time in ms.
local dueMsByWhen, scoreByDueMs, answersByKind = {}, {}, { s = {}, r = {}, f = {} }

local function dueMsOf(when)
  local dueMs = dueMsByWhen[when]
  if not dueMs then
    local ms = tonumber(string.sub(when, 3))
    dueMs = string.sub(when, 2, 2) == "+" and nowMs + ms or ms
    dueMsByWhen[when] = dueMs
  end
  return dueMs
end

local function answerWith(kind, dueMs)
  local answer = answersByKind[kind][dueMs]
  if not answer then
    answer = kind .. born .. dueMs - bornMs
    answersByKind[kind][dueMs], scoreByDueMs[dueMs] = answer, dueMs .. "000"
  end
  return answer
end

local function setAll(kind, ids, bodies, first, last, dueMs)
  local answer = answerWith(kind, dueMs)
  local head, score, count = answer .. " ", scoreByDueMs[dueMs], #scored
  for index = first, last do
    local id = ids[index]
    scored[count + 1], scored[count + 2] = score, id
    recorded[count + 1], recorded[count + 2] = id, head .. bodies[index]
    count = count + 2
  end
  earliestMs = math.min(earliestMs, dueMs)
  return answer
end

local function set(kind, id, dueMs, body)
  if kind ~= "f" then
    return setAll(kind, { id }, { body }, 1, 1, dueMs)
  end
  local answer, count = answerWith(kind, dueMs), #followed
  followed[count + 1], followed[count + 2] = id, dueMs .. " " .. answer .. " " .. body
  return answer
end

local function rearrange(id, score, when, body)
  local operation = operationIn(body)
  local record, following = redis.call("HGET", data, id), redis.call("HGET", later, id)
  local answer, of = answerAndOperation(record)
  local nextMs, next = dueMsAndRecord(following)
  local nextAnswer, nextOf = answerAndOperation(next)
  if of == operation then
    return answer
  elseif nextOf == operation then
    return nextAnswer
  end
  local leased, rival, rivalMs = isLease(score), record, tonumber(score) / 1000
  if leased then
    rival, rivalMs, answer = next, tonumber(nextMs), nextAnswer
  end
  local mode, dueMs = string.sub(when, 1, 1), dueMsOf(when)
  if rival and (mode == "k" or (mode == "e" and dueMs >= rivalMs)) then
    if not answer then
      return "u"
    end
    local offsetMs = rivalMs - math.floor(generationOf(answer) / 1000)
    local kept = "k" .. string.sub(answer, 2, 11) .. string.format("%.0f", offsetMs)
    memorize("s" .. operation .. " " .. id, kept)
    return kept
  end
  if rival then
    keepAnswer(id, rival)
  end
  if next and not leased then
    keepAnswer(id, next)
  end
  if leased then
    return set("f", id, dueMs, body)
  end
  unnoted[#unnoted + 1] = id
  return set("r", id, dueMs, body)
end

local function write()
  if #unnoted > 0 then
    redis.call("HDEL", notes, unpack(unnoted))
    redis.call("HDEL", later, unpack(unnoted))
  end
  if #scored > 0 then
    redis.call("HSET", data, unpack(recorded))
    redis.call("ZADD", due, unpack(scored))
  end
  if #followed > 0 then
    redis.call("HSET", later, unpack(followed))
    -- After the growing writes: a schedule is refused when the server is out of memory.
    redis.call("HDEL", state, "plain")
  end
  if #scored + #followed > 0 then
    redis.call("HSET", state, "floor", generation)
  end
  remember()
end
