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
  expireMax   most holds ended in passing, and about ten times as many of their lines
  itemCount   number of orders; below 0 when a shortage is no "no" yet: the units of other buckets come first
  items...    ids of the orders; the orders: operation (d decrement, v and holdMs reserve, k restock, j adjust; in capitals when
              the time of the id in ms follows), and the record's last words: "a" to take what there is or "-", order id or reason or
              "#", sku and quantity per line, each sku once, below 0 for an adjustment that takes; fields of the counters that they need
REPLIES
  {"form", form}         the bucket is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"bad-order", id}      a number out of range, nothing was done
  {"too-late", now}
  "applied now lapsed"   then per order a line: "t" done, "h" and the end of the hold in ms, "=" and the record, "f" the id is older
                         than what is remembered, "b" due holds are still unreturned, "s" short and not final, "o" and the sku of
                         which there would be too much: 2^53 - 1 at most, a bucket takes in its share
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4]
local expireMax, itemCount = ARGV[5], ARGV[6] + 0
local input, first = ARGV, 7
-- @include time
-- @include bound
local final, count = itemCount > 0, itemCount > 0 and itemCount or -itemCount
local wanted = { (table.unpack or unpack)(input, first + 2 * count) }
-- @include shelf
if nextMs <= nowMs then
  -- @include holds
-- @include expiry
end
local found = redis.call("HMGET", current, unpack(input, first, first + count - 1))
local older = only and found or redis.call("HMGET", rest, unpack(input, first, first + count - 1))

local answers, skus, took, wrong, endDigits, endText = { nil }, { nil }, { nil }, false, false, false
for index = 1, count do
  local id, order, answer = input[first + index - 1], input[first + count + index - 1], false
  local kind, digits, tail, flag, reference, linesAt, asked = string.match(order, "^(%a)(%d*) ((%S) (%S+) ()(.+))$")
  local agedMs = 0
  if kind < "a" then
    kind, agedMs, digits = string.lower(kind), nowMs - string.sub(digits, 1, 13), string.sub(digits, 14)
  end
  local record = fresh[id] or found[index] or older[index]
  if record then
    local ended = string.sub(record, 1, 1) ~= "h"
    answer = ended and nowMs - (tonumber(string.sub(record, 3, 15)) or nowMs) > tonumber(rememberMs) and "f" or "=" .. record
  elseif agedMs > 0 then
    -- @include old
    answer = old and "f"
  end
  if not answer then
    -- @include take
  end
  answers[index] = answer
end
if bad then
  return { "bad-stock", bad }
elseif wrong then
  return { "bad-order", wrong }
end
-- @include write
return "applied " .. nowText .. (lapsed > 0 and " " .. lapsed or " 0") .. "\n" .. table.concat(answers, "\n")
