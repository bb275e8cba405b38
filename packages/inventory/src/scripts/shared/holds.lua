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
  records(ids, first, last)  those that are remembered, false for the others; atRest[id] is true when it is in the hash at rest
  holdOf(record)          a reservation taken apart, false for another record: state, endText, holdMs, mark, reference; request (from word
                          5 on) and, while it is held or expired, its lines: held as text, skus, and counts as text
  loadHeld(list)          loads the counters of all lines of holds
  mark(id, hold, state, more)  the record after a change of state, with more words behind; it is in the hash in use from now on
  finish(id, hold, state, moved, more, parts)  ends a hold, with a movement of these words: takes it off the list of live ones and what it
                          reserves off the shelf; all is available again, or all but the parts
  fresh                   records by id that changed in this script
]]
local function records(ids, first, last)
  if last < first then
    return {}
  end
  local found = redis.call("HMGET", current, unpack(ids, first, last))
  if turned then
    for at = first, last do
      atRest[ids[at]] = true
    end
  elseif not only then
    local missing, place = {}, 0
    for at = 1, #found do
      missing[#missing + 1] = not found[at] and ids[first + at - 1] or nil
    end
    if missing[1] then
      local texts = redis.call("HMGET", rest, unpack(missing))
      for at = 1, #found do
        if not found[at] then
          place = place + 1
          found[at], atRest[missing[place]] = texts[place], true
        end
      end
      liveBefore = liveBefore or (redis.call("HGET", stock, "#atRest") or 0) + 0
      liveAtRest = liveAtRest or liveBefore
    end
  end
  return found
end

local function holdOf(record)
  local state, endText, holdMs, operation, request, reference, lines =
    string.match(record, "^(%l)v%d+ (%d+) (%d+) (%S+) (%S+ (%S+) (.+))$")
  if not state then
    return false
  end
  local skus, counts, held, taken = {}, {}, lines, false
  if state == "h" or state == "x" then
    taken = string.find(lines, "#", 1, true)
    held = taken and string.sub(lines, taken + 2) or lines
    local only, units = string.match(held, "^(%S+) (%S+)$")
    if only then
      skus, counts = { only }, { units }
    else
      for sku, count in string.gmatch(held, "(%S+) (%S+)") do
        skus[#skus + 1], counts[#counts + 1] = sku, count
      end
    end
  end
  return {
    state = state,
    endText = endText,
    holdMs = holdMs,
    mark = operation,
    request = request,
    reference = reference,
    held = held, taken = taken,
    skus = skus, counts = counts,
  }
end

local function loadHeld(list)
  local first = #wanted + 1
  for _, hold in pairs(list) do
    local skus = hold.skus
    for at = 1, #skus do
      local sku = skus[at]
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
    for at = 1, #texts do
      local count, place = tonumber(texts[at] or 0), from + at - 1
      if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
        bad = wanted[place]
      end
      count = count or 0
      control[place + 3], value[wanted[place]] = count, count
    end
  end
end

local function mark(id, hold, state, more)
  local record = state .. "v" .. nowMsText .. " " .. hold.endText .. " " .. hold.holdMs .. " " .. hold.mark .. " "
    .. hold.request .. more
  if atRest[id] and hold.state == "h" then
    liveAtRest = liveAtRest - 1
  end
  hold.state, atRest[id], fresh[id] = state, nil, record
  kept[#kept + 1] = id
  kept[#kept + 1] = record
end

local function finish(id, hold, state, moved, more, parts)
  local skus, counts = hold.skus, hold.counts
  entries[#entries + 1] = state .. nowText .. " " .. id .. " " .. hold.reference .. " " .. moved
  lapsed = state == "x" and lapsed + 1 or lapsed
  for at = 1, #skus do
    local sku, count = skus[at], counts[at] + 0
    local field = "r#" .. sku
    value[field], value[sku] = value[field] - count, value[sku] + count - (parts and parts[at] or 0)
    if value[field] < 0 then
      bad = field
    end
  end
  freed[#freed + 1] = id
  mark(id, hold, state, more)
end
