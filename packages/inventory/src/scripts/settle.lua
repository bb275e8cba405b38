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
  expireMax   most holds ended in passing
  linesMax    about how many lines of them
  final       "1" when a shortage is a "no", "0" when the units of other buckets come first
  itemCount   number of orders
  items...    per order: id (no id twice), what (c confirm, k confirm or take again, r release), mark of the operation, number of lines,
              then per line sku and quantity to confirm; no lines for all
REPLIES
  {"form", form}         the location is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  "settled now lapsed"   then per order a line, a letter and the record: c confirmed by this operation, C before, r released by this
                         operation, R before, x expired, a absent, i insufficient, b due holds are still unreturned, s short and not
                         final, e more than is reserved, w the id is not a reservation's
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, expireMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local linesMax, final, itemCount = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
-- @include time
-- @include bound
local wanted = {}
-- @include shelf
-- @include holds
-- @include expiry

local ids, starts, reservations, at = {}, {}, {}, 8
for index = 1, itemCount do
  ids[index], starts[index] = ARGV[at], at
  at = at + 4 + 2 * ARGV[at + 3]
end
local found = records(ids)
for _, id in ipairs(ids) do
  found[id] = fresh[id] or found[id]
  if found[id] and string.sub(found[id], 2, 2) == "v" then
    reservations[#reservations + 1] = wordsOf(found[id])
  end
end
loadHeld(reservations)

-- @include confirm

local function orderAt(start)
  local order = { mark = ARGV[start + 2], lines = tonumber(ARGV[start + 3]), wanted = {} }
  for line = start + 4, start + 3 + 2 * order.lines, 2 do
    order.wanted[ARGV[line]] = tonumber(ARGV[line + 1])
  end
  return order
end

local function settle(start, id, record)
  local what, operation = ARGV[start + 1], ARGV[start + 2]
  if not record and what == "r" then
    -- Whoever hears that there is nothing to release must not have it reserved by a request that is still on its way (K1).
    fresh[id] = "sv" .. nowMsText
    kept[#kept + 1] = id
    kept[#kept + 1] = fresh[id]
  end
  if not record or string.sub(record, 1, 1) == "s" then
    return "a"
  end
  if string.sub(record, 2, 2) ~= "v" then
    return "w"
  end
  local words = wordsOf(record)
  if string.sub(record, 1, 1) == "h" and tonumber(words[2]) <= nowMs then
    lapse(id, words)
  end
  local state = string.sub(words[1], 1, 1)
  if state == "h" and what == "r" then
    entries[#entries + 1] = "r" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
    free(id)
    words[4] = operation
    mark(id, words, "r")
    return "r"
  elseif state == "h" then
    return confirm(orderAt(start), id, words)
  elseif state == "c" then
    return what ~= "r" and words[4] == operation and "c" or "C"
  elseif state == "r" then
    return what == "r" and words[4] == operation and "r" or "R"
  elseif state == "n" then
    return "a"
  elseif state == "x" and what == "k" then
    return takeAgain(orderAt(start), id, words)
  end
  return state == "y" and what == "k" and "i" or "x"
end

local answers = {}
for index, id in ipairs(ids) do
  local answer = settle(starts[index], id, found[id])
  answers[index] = answer .. (fresh[id] or found[id] or "")
end
if bad then
  return { "bad-stock", bad }
end
-- @include write
return "settled " .. nowText .. " " .. lapsed .. "\n" .. table.concat(answers, "\n")
