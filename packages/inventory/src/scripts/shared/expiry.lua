--[[
expiry: ends the holds that are past their end, the oldest first and a bounded number of them (V4).

Needs
  the names of shelf and holds
  expireMax, linesMax  most holds ended in one script, and about how many lines of them
Gives
  lapse(id, words)  ends a hold by time
  dueLeft           whether holds past their end are still unreturned
  lapsed            how many were ended
]]
local function lapse(id, words)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
  free(id)
  mark(id, words, "x")
end

if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for _, id in ipairs(ids) do
    local words = found[id] and wordsOf(found[id]) or {}
    count = count + 1
    ended[count] = words
    lines = lines + #words / 2
    if lines >= linesMax then
      break
    end
  end
  loadHeld(ended)
  for at, words in ipairs(ended) do
    if words[1] and string.sub(words[1], 1, 1) == "h" then
      lapse(ids[at], words)
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
