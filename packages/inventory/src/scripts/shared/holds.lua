--[[
holds: reads and changes records of reservations.

A record is words with a space between them. A reservation's:
  1  state, operation, time of the last change in ms: "hv1763776543123"
     h held, c confirmed, r released, x expired, y expired and not to be had again, n insufficient, s sealed before it arrived
  2  end of the hold in ms   3  holdMs of the request   4  mark of the operation that ended it, "-" for none
  5  "a" when less than asked for may be taken, else "-"   6  order id, "#" for none
  7- sku and quantity in turn as asked for; after "#" those taken when they differ; after another "#" those confirmed, or for y the
     available ones
A movement is words too: kind and time in µs, id, order id or "#", sku and numbers.

Needs
  the names of shelf
Gives
  records(ids)             by id, those that are remembered; placeOf[id] is the side that has it
  wordsOf(record)
  firstHeld(words), lastHeld(words)  where the lines that are held begin and end
  loadHeld(list)           loads the counters of all lines of records, given as lists of words
  mark(id, words, state)   the record after a change of state
  free(id)                 takes a hold off the list of live ones
  unreserve(words, back)   takes what a hold reserves off the shelf; whole is the usual `back`
  fresh                    records by id that changed in this script
  number(n)                a whole number as text with all its digits
]]
local function number(n)
  return string.format("%.0f", n)
end

local function load(fields)
  for from = 1, #fields, 4000 do
    local upTo = math.min(from + 3999, #fields)
    local texts = redis.call("HMGET", stock, unpack(fields, from, upTo))
    for at = from, upTo do
      local count = tonumber(texts[at - from + 1] or 0)
      if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
        bad = fields[at]
      end
      value[fields[at]] = count or 0
    end
  end
end

local placeOf = {}
local function records(ids)
  local found, missing = {}, {}
  if #ids == 0 then
    return found
  end
  local texts = redis.call("HMGET", current, unpack(ids))
  for at, id in ipairs(ids) do
    found[id], placeOf[id] = texts[at], side
    if not texts[at] then
      missing[#missing + 1] = id
    end
  end
  if #missing > 0 and not alone then
    texts = redis.call("HMGET", rest, unpack(missing))
    for at, id in ipairs(missing) do
      found[id], placeOf[id] = texts[at], resting
    end
  end
  return found
end

local function wordsOf(record)
  local words = {}
  for word in string.gmatch(record, "%S+") do
    words[#words + 1] = word
  end
  return words
end

local function lastHeld(words, first)
  for at = first, #words do
    if words[at] == "#" then
      return at - 1
    end
  end
  return #words
end

local function firstHeld(words)
  local asked = lastHeld(words, 7)
  local next = words[asked + 2]
  return next and next ~= "#" and asked + 2 or 7
end

local function loadHeld(list)
  local fields, listed = {}, {}
  for _, words in ipairs(list) do
    local first = firstHeld(words)
    for at = first, lastHeld(words, first), 2 do
      local sku = words[at]
      if not listed[sku] and not value[sku] then
        fields[#fields + 1] = sku
      end
      if not listed[sku] and not value["r#" .. sku] then
        fields[#fields + 1] = "r#" .. sku
      end
      listed[sku] = true
    end
  end
  load(fields)
end

local function mark(id, words, state)
  words[1] = state .. string.sub(words[1], 2, 2) .. nowMsText
  local record = table.concat(words, " ")
  fresh[id] = record
  kept[#kept + 1] = id
  kept[#kept + 1] = record
end

local function free(id)
  freed[#freed + 1] = id
  live[placeOf[id]] = live[placeOf[id]] - 1
  placeOf[id] = side
end

-- Takes what a hold reserves off the shelf; `back` is how much of a line is available again.
local function unreserve(words, back)
  local first = firstHeld(words)
  for at = first, lastHeld(words, first), 2 do
    local sku, quantity = words[at], tonumber(words[at + 1])
    local reserved = value["r#" .. sku] - quantity
    if reserved < 0 then
      bad = "r#" .. sku
    end
    put("r#" .. sku, reserved)
    put(sku, value[sku] + back(sku, quantity))
  end
  return table.concat(words, " ", first, lastHeld(words, first))
end

local function whole(_, quantity)
  return quantity
end
