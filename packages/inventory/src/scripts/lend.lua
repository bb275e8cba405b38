--[[
lend: takes units out of this bucket for another one that is short. They travel as a parcel, at most one at a time to each bucket, which
stays on record here until the other bucket has it: whoever finds it may deliver it. Safe to repeat: a parcel under way is answered.

KEYS
  stock     HASH    counters and what the bucket remembers of itself (see shelf)
  recordsA  HASH    id → record (see holds)
  recordsB  HASH    the same, in turn
  due       ZSET    id of a live hold → its end in ms
  log       STREAM  movements
  transit   HASH    "to:" bucket → parcel (number, sku, quantity); "last:" bucket → number of the last one; "in:" bucket → number of the
                    last one received
ARGV
  layout      format and number of buckets, each with a colon behind
  notAfterUs  bound in server time (K1)
  keepMs      how long a record is kept at least
  from        this bucket
  to          the other one
  sku         what is wanted there
  quantity    how much, at most
REPLIES
  {"form", form}         the bucket is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  {"lent", parcel}
  {"pending", parcel}    deliver this one first
  {"empty"}              there is none
]]
local stock, recordsA, recordsB, due, log, transit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, keepMs, from, to = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local sku, quantity = ARGV[6], tonumber(ARGV[7])
-- @include time
-- @include bound
-- @include token
local wanted = { sku, "n#" .. sku }
-- @include shelf
if bad then
  return { "bad-stock", bad }
end
local pending = redis.call("HMGET", transit, "to:" .. to, "last:" .. to)
if pending[1] then
  return { "pending", pending[1] }
end
local lent = math.min(quantity, value[sku])
if lent <= 0 then
  return { "empty" }
end
local parcelNumber = nextToken(pending[2])
local words = sku .. " " .. string.format("%.0f", lent)
value[sku], value["n#" .. sku] = value[sku] - lent, value["n#" .. sku] - lent
entries[1] = "o" .. nowText .. " " .. from .. ">" .. to .. ":" .. parcelNumber .. " # " .. words
-- @include write
redis.call("HSET", transit, "to:" .. to, parcelNumber .. " " .. words, "last:" .. to, parcelNumber)
return { "lent", parcelNumber .. " " .. words }
