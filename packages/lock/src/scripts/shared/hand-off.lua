--[[
hand-off: finds the first live waiter, and grants to it for as long as it counts as alive: until then it says that it is there (L6).

`seen` tells of each waiter until when it counts as alive, in microseconds: its last request and the lapse of its own. Owners that have given
up are sealed there under "!owner", with the end of the seal as a negative number: what lies between -now and now is over, of either kind.

Needs
  queue, seen, nowUs, nowText, nextToken, token, terms and write from record
  rules  most dead waiters removed in one step, 8 digits, and the command that sends hints
Gives
  publishCommand   that command
  liveHead(gone) the first live waiter and until when it is, or false; the dead are removed together on the way, and `gone` counts as one
  leave(who, other)  takes owners out of the queue, one or two
  forgetSeals()  removes those whose time is over
  flagNow()    the record's flag as the queue stands
  channelOf(who) where a waiter hears its hints: the place that its id names before the first slash, so that one service is told, not all
  handTo(head, untilUs) grants to a waiter that was taken out of the queue, and tells it; gives the time from which others may have it.
                 Others are kept out after that for as long as after the holder before, until its first renewal brings terms of its own
]]
local unpack = table.unpack or unpack
local sweepMax, publishCommand = tonumber(string.sub(rules, 1, 8)), string.sub(rules, 9)
-- The longest lapse that there is.
local latestUs = nowUs + 60000000

local function liveHead(gone)
  for _ = 1, sweepMax do
    local head = redis.call("ZRANGE", queue, 0, 0)[1]
    if not head then
      return false
    end
    local untilUs = tonumber(redis.call("ZSCORE", seen, head) or 0)
    -- Alive for longer than anybody can be: the clock went back, and nothing tells whether the waiter lives (K8). One that does comes back
    -- with its next poll.
    if head ~= gone and untilUs >= nowUs and untilUs <= latestUs then
      return head, untilUs
    end
    local dead = redis.call("ZRANGEBYSCORE", seen, "(-" .. nowText, "(" .. nowText, "LIMIT", 0, sweepMax)
    for _, odd in ipairs(redis.call("ZRANGEBYSCORE", seen, "(" .. string.format("%.0f", latestUs), "+inf", "LIMIT", 0, sweepMax)) do
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

local function handTo(head, untilUs)
  local number, leaseMs = nextToken(token), math.ceil((untilUs - nowUs) / 1000)
  write(number, nowText, string.format("%08.0f", leaseMs) .. string.sub(terms, 9, 16), flagNow(), head)
  redis.pcall(publishCommand, channelOf(head), head .. " " .. number)
  return nowUs + (leaseMs + tonumber(string.sub(terms, 9, 16))) * 1000
end
