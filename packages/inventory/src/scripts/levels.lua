--[[
levels: reads counters after due holds were returned. Safe to repeat.

KEYS
  stock     HASH    counters and what the location remembers of itself (see shelf)
  recordsA  HASH    id → record (see holds)
  recordsB  HASH    the same, in turn
  due       ZSET    id of a live hold → its end in ms
  log       STREAM  movements
  transit   HASH    units on their way to another bucket
ARGV
  layout      format and number of buckets, each with a colon behind
  notAfterUs  bound in server time (K1)
  keepMs      how long a record is kept at least
  expireMax   most holds ended in passing, and about ten times as many of their lines
  skus...     the skus to read
REPLIES
  {"form", form}         the location is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  {"levels", now, lapsed, left, form, head, transit, counters}  left is "1" when due holds are still unreturned; head the number of the
                         newest movement, a space, the movement; transit bucket and parcel in turn; counters available and reserved in
                         turn
]]
local stock, recordsA, recordsB, due, log, transit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, keepMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local expireMax = tonumber(ARGV[4])
local first = 5
-- @include time
-- @include bound
local wanted = {}
for at = first, #ARGV do
  wanted[#wanted + 1] = ARGV[at]
  wanted[#wanted + 1] = "r#" .. ARGV[at]
end
local asked = #wanted
-- @include shelf
-- @include holds
-- @include expiry
if bad then
  return { "bad-stock", bad }
end
local counters = {}
for at = 1, asked do
  counters[at] = string.format("%.0f", value[wanted[at]])
end
local parcels = redis.call("HGETALL", transit)
-- @include write
local newest = redis.call("XREVRANGE", log, "+", "-", "COUNT", 1)[1]
local head = newest and string.sub(newest[1], 3) .. " " .. newest[2][2] or ""
local form = control[1] or redis.call("HGET", stock, "#form") or ""
return { "levels", nowText, lapsed, dueLeft and "1" or "0", form, head, parcels, counters }
