--[[
write: writes what shelf has collected. Nothing can fail after the first write (K3): what was not read yet is read first, so that a wrong
type under a key shows, and the first movement is the first write, since a log that another program has written to may refuse it. When
memory is out that one is refused, too; then what frees memory comes before it, and the script goes on.

Needs
  the names of shelf; stock, due, log, layout, nowText
]]
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  -- When the clock went back, the turn begins anew, or it would last until the clock has caught up.
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
  end
end
