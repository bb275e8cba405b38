--[[
claim-anew: claim that does not look at the sequence, to show the batch that is lost with its reply.

KEYS
  queue   LIST  what is to be done
  claims  HASH  unused
ARGV
  notAfterUs  bound in server time
  worker      unused
  sequence    unused
  itemsMax    bound of the loop
REPLIES
  {"claimed", items}  a JSON list
]]
local queue = KEYS[1]
local itemsMax = tonumber(ARGV[4])
local items = redis.call("LRANGE", queue, 0, itemsMax - 1)
redis.call("LTRIM", queue, itemsMax, -1)
return { "claimed", #items == 0 and "[]" or cjson.encode(items) }
