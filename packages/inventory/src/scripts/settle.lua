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
  linesMax    most lines of reservations in one script, but those of the first one
  itemCount   number of orders; below 0 when a shortage is no "no" yet: the units of other buckets come first
  items...    ids of the orders; the orders: what (c confirm, k confirm or take again, r release), mark of the operation, and
              for a part sku and quantity to confirm per line
REPLIES
  {"form", form}         the location is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  "settled now lapsed"   then per order a line, a letter and the record: c confirmed by this operation, C before, r released by this
                         operation, R before, x expired, a absent, i insufficient, b due holds are still unreturned, s short and not
                         final, e a part that is not in it, w the id is not a reservation's; or l alone: not looked at, since there
                         are too many lines before it
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, expireMax = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4]
local linesMax, itemCount = ARGV[5] + 0, ARGV[6] + 0
local input, first = ARGV, 7
-- @include time
-- @include bound
local final, count = itemCount > 0, itemCount > 0 and itemCount or -itemCount
local wanted = { nil, nil }
-- @include shelf
-- @include holds
-- @include expiry

local found, holds, lines, last = records(input, first, first + count - 1), {}, 0, count
for index = 1, count do
  local id = input[first + index - 1]
  local record = fresh[id] or found[index]
  if record and not holds[id] then
    local hold = holdOf(record) or nil
    lines = lines + (hold and #hold.skus or 0)
    if lines > linesMax and index > 1 then
      last = index - 1
      break
    end
    holds[id] = hold
  end
  found[index] = record
end
loadHeld(holds)

local answers = { nil }
for index = 1, last do
  local id, request, record, answer = input[first + index - 1], input[first + count + index - 1], found[index], "x"
  local hold = holds[id]
  local what, operation, linesAt = string.match(request, "^(%l) (%S+) ?()")
  if hold and hold.state == "h" and hold.endText - nowMs <= 0 then
    finish(id, hold, "x", hold.held, "")
  end
  local state = hold and hold.state
  if not hold and record and string.sub(record, 1, 1) ~= "s" then
    answer = "w"
  elseif not hold then
    answer = "a"
    if not record and what == "r" then
      -- Whoever hears that there is nothing to release must not have it reserved by a request that is still on its way (K1).
      fresh[id] = "sv" .. nowMsText
      kept[#kept + 1] = id
      kept[#kept + 1] = fresh[id]
    end
  elseif state == "h" and what == "r" then
    hold.mark = operation
    finish(id, hold, "r", hold.held, "")
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
for index = last + 1, count do
  answers[index] = "l"
end
-- @include write
return "settled " .. nowText .. (lapsed > 0 and " " .. lapsed or " 0") .. "\n" .. table.concat(answers, "\n")
