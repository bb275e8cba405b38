--[[
ending: ends the running generation of timers: what follows it takes its place, else the timer is gone and its end is remembered.

Needs
  nowText, unpack, memorize, answerAndOperation, dueMsAndRecord, keepAnswer
  due, data, notes, later
Gives
  conclude(id, record, following)  collects the end of one timer; record and following may be false
  writeEnds()                      writes them, freeing writes first (K3)
  installedScores                  deadline and id, in turn, of what takes the place of something
]]
local removed, installedScores, installedRecords, followedIds = {}, {}, {}, {}, {}

local function conclude(id, record, following)
  local dueMs, nextRecord = dueMsAndRecord(following)
  if not nextRecord then
    local answer, operation = answerAndOperation(record)
    memorize("i" .. id, answer and nowText .. " " .. answer .. " " .. operation or nowText)
    removed[#removed + 1] = id
    return
  end
  if record then
    keepAnswer(id, record)
  end
  local count = #installedScores
  installedScores[count + 1] = dueMs .. "000"
  installedScores[count + 2] = id
  installedRecords[count + 1] = id
  installedRecords[count + 2] = nextRecord
  followedIds[#followedIds + 1] = id
end

local function writeEnds()
  if #removed > 0 then
    redis.call("ZREM", due, unpack(removed))
    redis.call("HDEL", data, unpack(removed))
    redis.call("HDEL", notes, unpack(removed))
  end
  if #followedIds > 0 then
    redis.call("HDEL", later, unpack(followedIds))
    redis.call("HDEL", notes, unpack(followedIds))
    redis.call("ZADD", due, unpack(installedScores))
    redis.call("HSET", data, unpack(installedRecords))
  end
end
