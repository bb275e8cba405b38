--[[
apply: carries out orders on the stock of one bucket: decrement, reserve, restock, adjust. Each has its own outcome; the id decides first
(V2), an order is carried out as a whole or not at all (V3). Safe to repeat and to run late: a repeat gets the record.

KEYS
  stock     HASH    counters and what the bucket remembers of itself (see shelf)
  recordsA  HASH    id → record (see holds)
  recordsB  HASH    the same, in turn
  due       ZSET    id of a live hold → its end in ms
  log       STREAM  movements; the stream numbers them without a gap
ARGV
  layout      format and number of buckets, each with a colon behind
  notAfterUs  bound in server time (K1)
  keepMs      how long a record is kept at least
  rememberMs  for how long it answers
  expireMax   most holds ended in passing
  linesMax    about how many lines of them
  final       "1" when a shortage is a "no", "0" when the units of other buckets come first
  itemCount   number of orders
  fieldCount  number of counters
  items...    fields of the counters; ids of the orders, each once; per order: operation (d decrement, v and holdMs reserve, k restock,
              j adjust; in capitals when the time of the id in ms follows), the record's last words ("a" to take what there is or "-",
              order id or reason or "#", lines), number of lines, then per line sku and what is taken from the shelf (below 0: put there)
REPLIES
  {"form", form}         the bucket is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"bad-order", id}      a number out of range, nothing was done
  {"too-late", now}
  "applied now lapsed"   then per order a line: "t" done, "h" and the end of the hold in ms, "=" and the record, "f" the id is older
                         than what is remembered, "b" due holds are still unreturned, "s" short and not final, "o" and the sku that
                         would exceed 2^53
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, linesMax, final, itemCount, fieldCount =
  tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local input, first = ARGV, 10
-- @include time
-- @include bound
local wanted = { (table.unpack or unpack)(input, first, first + fieldCount - 1) }
-- @include shelf
if nextMs <= nowMs then
  -- @include holds
-- @include expiry
end
local idsAt = first + fieldCount
local at = idsAt + itemCount
local found = redis.call("HMGET", current, unpack(input, idsAt, at - 1))
local older = alone and {} or redis.call("HMGET", rest, unpack(input, idsAt, at - 1))
-- @include take

local answers = {}
for index = 1, itemCount do
  local id, kind, tail, count = input[idsAt + index - 1], input[at], input[at + 1], tonumber(input[at + 2])
  local record, from = fresh[id] or found[index] or older[index], at + 3
  at = from + 2 * count
  local holdMs, bornMs = string.sub(kind, 2), 0
  kind = string.sub(kind, 1, 1)
  if kind < "a" then
    kind, holdMs, bornMs = string.lower(kind), string.sub(holdMs, 14), tonumber(string.sub(holdMs, 1, 13))
  end
  if record then
    local ended = string.sub(record, 1, 1) ~= "h"
    answers[index] = ended and nowMs - string.sub(record, 3, 15) > rememberMs and "f" or "=" .. record
  elseif bornMs > 0 and nowMs - bornMs > rememberMs then
    answers[index] = "f"
  else
    answers[index] = take(id, kind, holdMs, tail, from, at - 1)
  end
end
if bad then
  return { "bad-stock", bad }
elseif wrong then
  return { "bad-order", wrong }
end
-- @include write
return "applied " .. nowText .. " " .. lapsed .. "\n" .. table.concat(answers, "\n")
