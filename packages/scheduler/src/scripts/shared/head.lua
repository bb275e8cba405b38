--[[
head: the occurrence that goes first of those that wait. Their scores are when they were due in ms, negative for those that were asked for by
hand: these go before all others, and among themselves as they were asked for, so the highest negative one goes first.

Needs
  waiting  key of those that wait
Gives
  head  its id and its score, both texts; empty when none waits
]]
local lastAsked = math.max(redis.call("ZCOUNT", waiting, "-inf", "(0") - 1, 0)
local head = redis.call("ZRANGE", waiting, lastAsked, lastAsked, "WITHSCORES")
