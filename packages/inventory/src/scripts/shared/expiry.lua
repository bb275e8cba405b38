--[[
expiry: ends the holds that are past their end, the oldest first and a bounded number of them (V4).

Needs
  the names of shelf and holds
  expireMax  most holds ended in one script, and about ten times as many of their lines
Gives
  lapse(id, hold)  ends a hold by time
  dueLeft          whether holds past their end are still unreturned
  lapsed           how many were ended
]]
local function lapse(id, hold)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. hold.reference .. " " .. hold.held
  finish(id, hold, "x", "")
end

if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for at, id in ipairs(ids) do
    count = at
    if found[id] and string.sub(found[id], 1, 2) == "hv" then
      ended[at] = holdOf(found[id])
      lines = lines + #ended[at].skus
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      lapse(ids[at], ended[at])
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
