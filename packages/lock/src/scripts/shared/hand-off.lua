--[[
hand-off: finds the first live waiter, and grants to it for as long as a live waiter needs to say that it is there (L6).

`seen` tells the time of each waiter's last request in microseconds. Owners that have given up are sealed there under "!owner", with the
end of the seal as a negative number: what lies between -now and now - lapse is dead of either kind.

Needs
  queue, seen, nowUs, nowText, nextToken, token and write from record
  rules  lapse in ms, most dead waiters removed in one step, 8 digits each, and the command that sends hints
Gives
  lapseUs, publishCommand   the lapse in microseconds; the command
  liveHead(gone) the first live waiter, or false; the dead are removed together on the way, and `gone` counts as one
  leave(who, other)  takes owners out of the queue, one or two
  forgetSeals()  removes those whose time is over
  flagNow()    the record's flag as the queue stands
  channelOf(who) where a waiter hears its hints: the place that its id names before the first slash, so that one service is told, not all
  handTo(head) grants to a waiter that was taken out of the queue, and tells it
]]
local unpack = table.unpack or unpack
local lapseMs, sweepMax = string.sub(rules, 1, 8), tonumber(string.sub(rules, 9, 16))
local lapseUs, publishCommand = tonumber(lapseMs) * 1000, string.sub(rules, 17)

local function liveHead(gone)
  for _ = 1, sweepMax do
    local head = redis.call("ZRANGE", queue, 0, 0)[1]
    if not head then
      return false
    end
    local seenUs = tonumber(redis.call("ZSCORE", seen, head) or 0)
    -- Seen in the future: the clock went back, and nothing tells whether the waiter lives (K8). One that does comes back with its next poll.
    if head ~= gone and seenUs >= nowUs - lapseUs and seenUs <= nowUs + lapseUs then
      return head
    end
    local earliest, latest = string.format("%.0f", nowUs - lapseUs), string.format("%.0f", nowUs + lapseUs)
    local dead = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(" .. earliest, "LIMIT", 0, sweepMax)
    for _, odd in ipairs(redis.call("ZRANGEBYSCORE", seen, "(" .. latest, "+inf", "LIMIT", 0, sweepMax)) do
      dead[#dead + 1] = odd
    end
    dead[#dead + 1] = head
    redis.call("ZREM", queue, unpack(dead))
    redis.call("ZREM", seen, unpack(dead))
  end
  return false
end

local function leave(who, other)
  redis.call("ZREM", queue, who, other or who)
  redis.call("ZREM", seen, who, other or who)
end

local function forgetSeals()
  local over = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(0", "LIMIT", 0, sweepMax)
  if #over > 0 then
    redis.call("ZREM", seen, unpack(over))
  end
end

local function flagNow()
  if redis.call("EXISTS", queue) == 1 then
    return "q"
  end
  forgetSeals()
  return redis.call("EXISTS", seen) == 1 and "q" or "-"
end

local function channelOf(who)
  local place = string.match(who, "^([^/]*)/")
  return place and queue .. ":" .. place or queue
end

local function handTo(head)
  local number = nextToken(token)
  write(number, nowText, lapseMs .. "00000000", flagNow(), head)
  redis.pcall(publishCommand, channelOf(head), head .. " " .. number .. " " .. lapseMs)
end
