--[[
expiry: ends the holds that are past their end, the oldest first and a bounded number of them (V4).

Needs
  the names of shelf and holds
  expireMax  most holds ended in one script, and about ten times as many of their lines
Gives
  dueLeft  whether holds past their end are still unreturned
  lapsed   how many were ended
]]
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids, 1, #ids), {}, 0, 0
  for at = 1, #ids do
    count = at
    if found[at] and string.sub(found[at], 1, 2) == "hv" then
      local hold = holdOf(found[at])
      if hold then
        ended[at], lines = hold, lines + #hold.skus
      else
        bad = "record " .. ids[at]
      end
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      finish(ids[at], ended[at], "x", ended[at].held, "")
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
