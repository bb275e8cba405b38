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
  records(ids)            by id, those that are remembered; placeOf[id] is the side that has it
  holdOf(record)          a reservation taken apart: state, endText, holdMs, mark, reference; request (from word 5 on) and, while it is
                          held or expired, its lines: held as text, skus, and counts as text
  loadHeld(list)          loads the counters of all lines of holds
  mark(id, hold, state, more)  the record after a change of state, with more words behind; counts it where it lives now
  finish(id, hold, state, more, parts)  ends a hold: takes it off the list of live ones and what it reserves off the shelf; all is
                          available again, or all but the parts
  fresh                   records by id that changed in this script
]]
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

local function holdOf(record)
  local state, endText, holdMs, operation, request, reference, lines =
    string.match(record, "^(%l)v%d+ (%d+) (%d+) (%S+) (%S+ (%S+) (.+))$")
  local skus, counts, held, taken = {}, {}, lines, false
  if state == "h" or state == "x" then
    taken = string.find(lines, "#", 1, true)
    held = taken and string.sub(lines, taken + 2) or lines
    for sku, count in string.gmatch(held, "(%S+) (%S+)") do
      skus[#skus + 1], counts[#counts + 1] = sku, count
    end
  end
  return {
    state = state,
    endText = endText,
    holdMs = holdMs,
    mark = operation,
    request = request,
    reference = reference,
    held = held,
    taken = taken,
    skus = skus,
    counts = counts,
  }
end

local function loadHeld(list)
  local first = #wanted + 1
  for _, hold in pairs(list) do
    for _, sku in ipairs(hold.skus) do
      if not value[sku] then
        value[sku], wanted[#wanted + 1] = 0, sku
      end
      local field = "r#" .. sku
      if not value[field] then
        value[field], wanted[#wanted + 1] = 0, field
      end
    end
  end
  for from = first, #wanted, 4000 do
    local texts = redis.call("HMGET", stock, unpack(wanted, from, math.min(from + 3999, #wanted)))
    for at, text in ipairs(texts) do
      local count, place = tonumber(text or 0), from + at - 1
      if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
        bad = wanted[place]
      end
      count = count or 0
      control[place + 5], value[wanted[place]] = count, count
    end
  end
end

local function mark(id, hold, state, more)
  local head = state .. "v" .. nowMsText .. " " .. hold.endText .. " "
  local record = head .. hold.holdMs .. " " .. hold.mark .. " " .. hold.request .. more
  if hold.state == "h" then
    if placeOf[id] == side then
      liveHere = liveHere - 1
    else
      liveThere = liveThere - 1
    end
  end
  if state == "h" then
    liveHere = liveHere + 1
  end
  hold.state, placeOf[id], fresh[id] = state, side, record
  kept[#kept + 1] = id
  kept[#kept + 1] = record
end

local function finish(id, hold, state, more, parts)
  for at, sku in ipairs(hold.skus) do
    local count, field = tonumber(hold.counts[at]), "r#" .. sku
    value[field], value[sku] = value[field] - count, value[sku] + count - (parts and parts[at] or 0)
    if value[field] < 0 then
      bad = field
    end
  end
  freed[#freed + 1] = id
  mark(id, hold, state, more)
end
