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

-- What is confirmed of each line, or false when it is more than is held.
local function parts(start, words)
  local wanted, first, lines, left = {}, firstHeld(words), {}, 0
  for line = start + 4, start + 3 + 2 * ARGV[start + 3], 2 do
    wanted[ARGV[line]] = tonumber(ARGV[line + 1])
    left = left + 1
  end
  local whole = left == 0
  for held = first, lastHeld(words, first), 2 do
    local sku, quantity = words[held], tonumber(words[held + 1])
    local part = whole and quantity or wanted[sku]
    if part and part > quantity then
      return false
    end
    left = part and left - 1 or left
    lines[#lines + 1] = { sku = sku, quantity = quantity, part = part or 0 }
  end
  return (whole or left == 0) and lines, whole
end

local function setPart(words, lines, whole)
  local upTo = lastHeld(words, firstHeld(words))
  for word = #words, upTo + 1, -1 do
    words[word] = nil
  end
  if not whole then
    if firstHeld(words) == 7 then
      words[#words + 1] = "#"
    end
    words[#words + 1] = "#"
    for _, line in ipairs(lines) do
      words[#words + 1] = line.part > 0 and line.sku .. " " .. number(line.part) or nil
    end
  end
end

local function confirm(start, id, words)
  local lines, whole = parts(start, words)
  if not lines then
    return "e"
  end
  local moved = {}
  for _, line in ipairs(lines) do
    local reserved = value["r#" .. line.sku] - line.quantity
    if reserved < 0 then
      bad = "r#" .. line.sku
    end
    put("r#" .. line.sku, reserved)
    put(line.sku, value[line.sku] + line.quantity - line.part)
    moved[#moved + 1] = line.sku .. " " .. number(line.part) .. " " .. number(line.quantity)
  end
  entries[#entries + 1] = "c" .. nowText .. " " .. id .. " " .. words[6] .. " " .. table.concat(moved, " ")
  free(id)
  words[4] = ARGV[start + 2]
  setPart(words, lines, whole)
  mark(id, words, "c")
  return "c"
end

local function takeAgain(start, id, words)
  local lines, whole = parts(start, words)
  if not lines then
    return "e"
  end
  local moved, short, left = {}, false, {}
  for _, line in ipairs(lines) do
    short = short or value[line.sku] < line.part
    if line.part > 0 then
      moved[#moved + 1] = line.sku .. " " .. number(line.part)
      left[#left + 1] = line.sku .. " " .. number(line.part) .. " " .. number(value[line.sku])
    end
  end
  if short and dueLeft then
    return "b"
  elseif short and final ~= "1" then
    return "s"
  end
  setPart(words, lines, whole and not short)
  words[4] = ARGV[start + 2]
  if short then
    -- The "no" stays: a confirmation that comes late must not take what its caller was told is not there (V2).
    words[#words + 1] = "# " .. table.concat(left, " ")
    mark(id, words, "y")
    return "i"
  end
  for _, line in ipairs(lines) do
    put(line.sku, value[line.sku] - line.part)
  end
  entries[#entries + 1] = "t" .. nowText .. " " .. id .. " " .. words[6] .. " " .. table.concat(moved, " ")
  mark(id, words, "c")
  return "c"
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
    return confirm(start, id, words)
  elseif state == "c" then
    return what ~= "r" and words[4] == operation and "c" or "C"
  elseif state == "r" then
    return what == "r" and words[4] == operation and "r" or "R"
  elseif state == "n" then
    return "a"
  elseif state == "x" and what == "k" then
    return takeAgain(start, id, words)
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
