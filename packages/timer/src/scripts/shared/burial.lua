--[[
burial: puts timers that are given up among the dead letters, where redrive finds them.

Needs
  nowText, unpack
  dead, deadData
Gives
  bury(id, record, attempts, error)  collects one; record may be false
  writeBurials()                     growing writes
]]
local buried, epitaphs = {}, {}

local function bury(id, record, attempts, error)
  local count = #buried
  buried[count + 1] = nowText
  buried[count + 2] = id
  epitaphs[count + 1] = id
  epitaphs[count + 2] = attempts .. " " .. #error .. " " .. error .. (record or "")
end

local function writeBurials()
  if #buried > 0 then
    redis.call("ZADD", dead, unpack(buried))
    redis.call("HSET", deadData, unpack(epitaphs))
  end
end
