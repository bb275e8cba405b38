--[[
claim: hands the first items of a queue to a worker; the same worker and sequence get the same items again (K7).

KEYS
  queue   LIST  what is to be done
  claims  HASH  worker -> sequence and the items of its last claim
ARGV
  notAfterUs  bound in server time
  worker      who claims
  sequence    grows with each claim of the worker
  itemsMax    bound of the loop
REPLIES
  {"claimed", items}     a JSON list
  {"too-late", nowText}  nothing was done
]]
local queue, claims = KEYS[1], KEYS[2]
local notAfterUs, worker, sequence, itemsMax = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
-- @include time
local known = redis.call("HGET", claims, worker)
local head = sequence .. ":"
if known and string.sub(known, 1, #head) == head then
  return { "claimed", string.sub(known, #head + 1) }
end
-- @include bound
local items = redis.call("LRANGE", queue, 0, itemsMax - 1)
local text = #items == 0 and "[]" or cjson.encode(items)
redis.call("LTRIM", queue, itemsMax, -1)
redis.call("HSET", claims, worker, head .. text)
return { "claimed", text }
