--[[
settle: ends reservations, each exactly once (V4): confirms them as a whole or in part, takes an expired one again if stock is left, or
releases them. Safe to repeat and to run late: the record says what ended it, and a repeat carries the same mark.

KEYS
  stock     HASH    counters and what the location remembers of itself (see shelf)
  recordsA  HASH    id → record (see holds)
  recordsB  HASH    the same, in turn
  due       ZSET    id of a live hold → its end in ms
  log       STREAM  movements
ARGV
  layout      format and number of buckets, each with a colon behind
  notAfterUs  bound in server time (K1)
  keepMs      how long a record is kept at least
  expireMax   most holds ended in passing, and about ten times as many of their lines
  itemCount   number of orders; below 0 when a shortage is no "no" yet: the units of other buckets come first
  items...    ids of the orders; the orders: what (c confirm, k confirm or take again, r release), mark of the operation, and
              for a part sku and quantity to confirm per line
REPLIES
  {"form", form}         the location is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  "settled now lapsed"   then per order a line, a letter and the record: c confirmed by this operation, C before, r released by this
                         operation, R before, x expired, a absent, i insufficient, b due holds are still unreturned, s short and not
                         final, e a part that is not in it, w the id is not a reservation's
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, expireMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local itemCount = tonumber(ARGV[5])
local input, first = ARGV, 6
-- @include time
-- @include bound
local final, count = itemCount > 0, itemCount > 0 and itemCount or -itemCount
local wanted = {}
-- @include shelf
-- @include holds
-- @include expiry

local ids, holds = { unpack(input, first, first + count - 1) }, {}
local found = records(ids)
for _, id in ipairs(ids) do
  found[id] = fresh[id] or found[id]
  if found[id] and string.sub(found[id], 2, 2) == "v" then
    holds[id] = holdOf(found[id])
  end
end
loadHeld(holds)

local answers = {}
for index, id in ipairs(ids) do
  local request, record, hold, answer = input[first + count + index - 1], found[id], holds[id], "x"
  local what, operation, linesAt = string.match(request, "^(%l) (%S+) ?()")
  if hold and hold.state == "h" and tonumber(hold.endText) <= nowMs then
    lapse(id, hold)
  end
  local state = hold and hold.state
  if not record or string.sub(record, 1, 1) == "s" then
    answer = "a"
    if not record and what == "r" then
      -- Whoever hears that there is nothing to release must not have it reserved by a request that is still on its way (K1).
      fresh[id] = "sv" .. nowMsText
      kept[#kept + 1] = id
      kept[#kept + 1] = fresh[id]
    end
  elseif not hold then
    answer = "w"
  elseif state == "h" and what == "r" then
    entries[#entries + 1] = "r" .. nowText .. " " .. id .. " " .. hold.reference .. " " .. hold.held
    hold.mark = operation
    finish(id, hold, "r", "")
    answer = "r"
  elseif state == "h" or state == "x" and what == "k" then
    -- @include confirm
  elseif state == "c" then
    answer = what ~= "r" and hold.mark == operation and "c" or "C"
  elseif state == "r" then
    answer = what == "r" and hold.mark == operation and "r" or "R"
  elseif state == "n" then
    answer = "a"
  elseif state == "y" and what == "k" then
    answer = "i"
  end
  answers[index] = answer .. (fresh[id] or record or "")
end
if bad then
  return { "bad-stock", bad }
end
-- @include write
return "settled " .. nowText .. " " .. lapsed .. "\n" .. table.concat(answers, "\n")
