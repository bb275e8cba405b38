--[[
receive: puts a parcel of another bucket on the shelf, once: the number of the last one received is never forgotten.

KEYS
  stock     HASH    counters and what the bucket remembers of itself (see shelf)
  recordsA  HASH    id → record (see holds)
  recordsB  HASH    the same, in turn
  due       ZSET    id of a live hold → its end in ms
  log       STREAM  movements
  transit   HASH    see lend
ARGV
  layout        format and number of buckets, each with a colon behind
  notAfterUs    bound in server time (K1)
  keepMs        how long a record is kept at least
  from          the other bucket
  to            this one
  parcelNumber  of the parcel
  sku           what is in it
  quantity      how much
REPLIES
  {"form", form}         the bucket is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  {"received"}           now or before
]]
local stock, recordsA, recordsB, due, log, transit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, keepMs, from, to = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local parcelNumber, sku, quantity = ARGV[6], ARGV[7], ARGV[8]
-- @include time
-- @include bound
local wanted = { sku, "n#" .. sku }
-- @include shelf
if bad then
  return { "bad-stock", bad }
end
local last = redis.call("HGET", transit, "in:" .. from)
if not last or last < parcelNumber then
  value[sku], value["n#" .. sku] = value[sku] + quantity, value["n#" .. sku] + quantity
  entries[1] = "i" .. nowText .. " " .. from .. ">" .. to .. ":" .. parcelNumber .. " # " .. sku .. " " .. quantity
  -- @include write
  redis.call("HSET", transit, "in:" .. from, parcelNumber)
end
return { "received" }
