// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Carries out orders on the stock of one bucket: decrement, reserve, restock, adjust. Each has its own outcome; the id decides first (V2), an order is carried out as a whole or not at all (V3). Safe to repeat and to run late: a repeat gets the record. */
export const apply = {
  name: "inventory.apply",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "rememberMs", "expireMax", "linesMax", "final", "itemCount", "fieldCount"],
  rest: "items",
  replies: ["form", "bad-stock", "bad-order", "too-late", "applied"],
  sha1: "c937fbdfd40d17da0c933779b2afe45d0ec8f219" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, linesMax, final, itemCount, fieldCount =
  tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local input, first = ARGV, 10
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = { (table.unpack or unpack)(input, first, first + fieldCount - 1) }
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
if nextMs <= nowMs then
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
local function lapse(id, words)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
  free(id)
  mark(id, words, "x")
end
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for _, id in ipairs(ids) do
    local words = found[id] and wordsOf(found[id]) or {}
    count = count + 1
    ended[count] = words
    lines = lines + #words / 2
    if lines >= linesMax then
      break
    end
  end
  loadHeld(ended)
  for at, words in ipairs(ended) do
    if words[1] and string.sub(words[1], 1, 1) == "h" then
      lapse(ids[at], words)
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
end
local idsAt = first + fieldCount
local at = idsAt + itemCount
local found = redis.call("HMGET", current, unpack(input, idsAt, at - 1))
local older = alone and {} or redis.call("HMGET", rest, unpack(input, idsAt, at - 1))
local wrong = false
local endTexts = {}
local function refuse(id, kind, holdMs, tail, from, upTo)
  if dueLeft then
    return "b"
  elseif final ~= "1" then
    return "s"
  end
  local words = {}
  for line = from, upTo, 2 do
    words[#words + 1] = input[line] .. " " .. string.format("%.0f", value[input[line]])
  end
  local head = "n" .. kind .. nowMsText .. " " .. (kind == "v" and "0 " .. holdMs .. " - " or "")
  local record = head .. tail .. " # " .. table.concat(words, " ")
  kept[#kept + 1] = id
  kept[#kept + 1] = record
  return "=" .. record
end
local function take(id, kind, holdMs, tail, from, upTo)
  local partly, obstacle, took = string.sub(tail, 1, 1) == "a" and final == "1", false, {}
  for line = from, upTo, 2 do
    local sku, quantity = input[line], tonumber(input[line + 1]) or 0
    local amount = quantity < 0 and -quantity or quantity
    if not (amount >= 1 and amount <= 1099511627776 and amount % 1 == 0) then
      wrong = id
    end
    local there = value[sku]
    local taken = partly and quantity > there and there or quantity
    local left = there - taken
    if left < 0 then
      obstacle = "s"
    elseif quantity < 0 and left + value["r#" .. sku] > 9007199254740991 then
      obstacle = "o" .. sku
    end
    value[sku] = left
    took[#took + 1] = taken
  end
  local words = string.sub(tail, 3)
  if partly and not obstacle then
    local list = {}
    for line = from, upTo, 2 do
      local taken = took[(line - from) / 2 + 1]
      list[#list + 1] = taken > 0 and input[line] .. " " .. string.format("%.0f", taken) or nil
    end
    local some = table.concat(list, " ")
    local reference = string.match(words, "^%S+ ")
    obstacle = some == "" and "s" or false
    if reference .. some ~= words then
      tail, words = tail .. " # " .. some, reference .. some
    end
  end
  if obstacle then
    for line = from, upTo, 2 do
      value[input[line]] = value[input[line]] + took[(line - from) / 2 + 1]
    end
    return obstacle == "s" and refuse(id, kind, holdMs, tail, from, upTo) or obstacle
  end
  for line = from, upTo, 2 do
    local sku, taken = input[line], took[(line - from) / 2 + 1]
    if taken ~= 0 then
      put(sku, value[sku])
      if kind == "v" then
        put("r#" .. sku, value["r#" .. sku] + taken)
      end
    end
  end
  entries[#entries + 1] = kind .. nowText .. " " .. id .. " " .. words
  kept[#kept + 1] = id
  if kind ~= "v" then
    kept[#kept + 1] = "t" .. kind .. nowMsText .. " " .. tail
    return #words == #tail - 2 and "t" or "=" .. kept[#kept]
  end
  local endText = endTexts[holdMs]
  if not endText then
    endText = string.format("%.0f", nowMs + 1 + holdMs)
    endTexts[holdMs] = endText
    nextMs = math.min(nextMs, nowMs + 1 + holdMs)
  end
  held[#held + 1] = endText
  held[#held + 1] = id
  live[side] = live[side] + 1
  kept[#kept + 1] = "hv" .. nowMsText .. " " .. endText .. " " .. holdMs .. " - " .. tail
  return #words == #tail - 2 and "h" .. endText or "=" .. kept[#kept]
end
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
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
return "applied " .. nowText .. " " .. lapsed .. "\\n" .. table.concat(answers, "\\n")
` as string,
} as const;

/** Forgets a parcel that the other bucket has received. Safe to repeat and to run late: another parcel stays. */
export const clear = {
  name: "inventory.clear",
  keys: ["transit"],
  args: ["notAfterUs", "to", "parcel"],
  rest: null,
  replies: ["too-late", "cleared"],
  sha1: "16ff591e85d4d90484f1d9154432bbf4637fc019" as string,
  source: `local transit = KEYS[1]
local notAfterUs, to, parcel = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
if redis.call("HGET", transit, "to:" .. to) == parcel then
  redis.call("HDEL", transit, "to:" .. to)
end
return { "cleared" }
` as string,
} as const;

/** Stores how far a consumer of the log has come, and cuts off what all consumers have behind them; the last consumed movement stays, so that the next reader can tell whether the log is still the one it knows (V6). Safe to repeat and to run late. */
export const commit = {
  name: "inventory.commit",
  keys: ["stock", "log", "positions"],
  args: ["notAfterUs", "consumer", "sequence", "stamp", "known", "mode", "trimMax"],
  rest: null,
  replies: ["too-late", "committed", "behind", "elsewhere"],
  sha1: "e0d40b91d9422217d3fe6ce514e45c2edcd75566" as string,
  source: `local stock, log, positions = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, consumer, sequence, stamp = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local known, mode, trimMax = ARGV[5], ARGV[6], tonumber(ARGV[7])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local position = redis.call("HGET", positions, consumer)
if mode == "f" and position and tonumber(string.match(position, "^%d+")) > tonumber(sequence) then
  return { "behind", position }
end
local found = redis.call("XRANGE", log, "0-" .. sequence, "+", "COUNT", 1)[1]
local next = found and string.sub(found[1], 3) or ""
local entry = next == sequence and found[2][2] or ""
if mode ~= "d" and known ~= "" and string.sub(entry, 1, #known) ~= known then
  return { "elsewhere", redis.call("HGET", stock, "#form") or "", entry, next }
end
if mode == "d" then
  redis.call("HDEL", positions, consumer)
else
  redis.call("HSET", positions, consumer, sequence .. " " .. stamp)
end
if trimMax > 0 then
  local slowest = math.huge
  for _, each in ipairs(redis.call("HVALS", positions)) do
    slowest = math.min(slowest, tonumber(string.match(each, "^%d+")))
  end
  if slowest < math.huge then
    redis.call("XTRIM", log, "MINID", "~", "0-" .. string.format("%.0f", slowest), "LIMIT", trimMax)
  end
end
return { "committed", sequence .. " " .. stamp }
` as string,
} as const;

/** Lets live holds last longer, each at most once per operation. An end is never moved forward. */
export const extend = {
  name: "inventory.extend",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "rememberMs", "expireMax", "linesMax", "operation", "bornMs", "reservation", "holdMs"],
  rest: null,
  replies: ["form", "bad-stock", "too-late", "forgotten", "known", "extended", "ended"],
  sha1: "1bd63c0c02322a5e93d6a109b61c954eea46754b" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, linesMax, operation, bornMs = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local reservation, holdMs = ARGV[9], ARGV[10]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
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
local function lapse(id, words)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
  free(id)
  mark(id, words, "x")
end
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for _, id in ipairs(ids) do
    local words = found[id] and wordsOf(found[id]) or {}
    count = count + 1
    ended[count] = words
    lines = lines + #words / 2
    if lines >= linesMax then
      break
    end
  end
  loadHeld(ended)
  for at, words in ipairs(ended) do
    if words[1] and string.sub(words[1], 1, 1) == "h" then
      lapse(ids[at], words)
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
local found = records({ operation, reservation })
local known, record = fresh[operation] or found[operation], fresh[reservation] or found[reservation]
local agedMs = known and nowMs - string.sub(known, 3, 15) or bornMs > 0 and nowMs - bornMs or 0
local words = record and wordsOf(record) or { "" }
local heldNow = string.sub(words[1], 1, 2) == "hv"
local reply = false
if agedMs > rememberMs and not (known and string.sub(known, 1, 1) == "h") then
  reply = { "forgotten" }
elseif known then
  reply = { "known", known }
elseif heldNow and tonumber(words[2]) <= nowMs then
  loadHeld({ words })
  lapse(reservation, words)
  reply = { "ended", fresh[reservation], lapsed }
elseif not heldNow then
  reply = { "ended", record or "", lapsed }
else
  local endMs = math.max(tonumber(words[2]), nowMs + 1 + holdMs)
  words[2] = number(endMs)
  live[placeOf[reservation]] = live[placeOf[reservation]] - 1
  live[side] = live[side] + 1
  mark(reservation, words, "h")
  held[1], held[2] = words[2], reservation
  kept[#kept + 1] = operation
  kept[#kept + 1] = "te" .. nowMsText .. " " .. words[2] .. " " .. reservation .. " " .. holdMs
  reply = { "extended", words[2], lapsed }
end
if bad then
  return { "bad-stock", bad }
end
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
return reply
` as string,
} as const;

/** Takes units out of this bucket for another one that is short. They travel as a parcel, at most one at a time to each bucket, which stays on record here until the other bucket has it: whoever finds it may deliver it. Safe to repeat: a parcel under way is answered. */
export const lend = {
  name: "inventory.lend",
  keys: ["stock", "recordsA", "recordsB", "due", "log", "transit"],
  args: ["layout", "notAfterUs", "keepMs", "from", "to", "sku", "quantity"],
  rest: null,
  replies: ["form", "bad-stock", "too-late", "lent", "pending", "empty"],
  sha1: "6ca0009050a69744cf97032e49a2f4b573c29209" as string,
  source: `local stock, recordsA, recordsB, due, log, transit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, keepMs, from, to = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local sku, quantity = ARGV[6], tonumber(ARGV[7])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
local wanted = { sku }
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
if bad then
  return { "bad-stock", bad }
end
local pending = redis.call("HMGET", transit, "to:" .. to, "last:" .. to)
if pending[1] then
  return { "pending", pending[1] }
end
local lent = math.min(quantity, value[sku])
if lent <= 0 then
  return { "empty" }
end
local parcelNumber = nextToken(pending[2])
local words = sku .. " " .. string.format("%.0f", lent)
put(sku, value[sku] - lent)
entries[1] = "o" .. nowText .. " " .. from .. ">" .. to .. ":" .. parcelNumber .. " # " .. words
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
redis.call("HSET", transit, "to:" .. to, parcelNumber .. " " .. words, "last:" .. to, parcelNumber)
return { "lent", parcelNumber .. " " .. words }
` as string,
} as const;

/** Reads counters after due holds were returned. Safe to repeat. */
export const levels = {
  name: "inventory.levels",
  keys: ["stock", "recordsA", "recordsB", "due", "log", "transit"],
  args: ["layout", "notAfterUs", "keepMs", "expireMax", "linesMax"],
  rest: "skus",
  replies: ["form", "bad-stock", "too-late", "levels"],
  sha1: "0ab1b3126e58879441959137d3a51209cdd4cbe0" as string,
  source: `local stock, recordsA, recordsB, due, log, transit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, keepMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local expireMax, linesMax = tonumber(ARGV[4]), tonumber(ARGV[5])
local first = 6
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
for at = first, #ARGV do
  wanted[#wanted + 1] = ARGV[at]
  wanted[#wanted + 1] = "r#" .. ARGV[at]
end
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
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
local function lapse(id, words)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
  free(id)
  mark(id, words, "x")
end
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for _, id in ipairs(ids) do
    local words = found[id] and wordsOf(found[id]) or {}
    count = count + 1
    ended[count] = words
    lines = lines + #words / 2
    if lines >= linesMax then
      break
    end
  end
  loadHeld(ended)
  for at, words in ipairs(ended) do
    if words[1] and string.sub(words[1], 1, 1) == "h" then
      lapse(ids[at], words)
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
if bad then
  return { "bad-stock", bad }
end
local counters = {}
for at, field in ipairs(wanted) do
  counters[at] = number(value[field])
end
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
local newest = redis.call("XREVRANGE", log, "+", "-", "COUNT", 1)[1]
local head = newest and string.sub(newest[1], 3) .. " " .. newest[2][2] or ""
local form = control[1] or redis.call("HGET", stock, "#form") or ""
local parcels = redis.call("HGETALL", transit)
return { "levels", nowText, lapsed, dueLeft and "1" or "0", form, head, parcels, counters }
` as string,
} as const;

/** Agrees on the number of buckets, in bucket 0, before any other bucket is used. Safe to repeat and to run late. */
export const open = {
  name: "inventory.open",
  keys: ["stock"],
  args: ["layout", "notAfterUs"],
  rest: null,
  replies: ["too-late", "form", "opened"],
  sha1: "bb8c006e7b0459e376c09e3d13f769cbe266db1d" as string,
  source: `local stock = KEYS[1]
local layout, notAfterUs = ARGV[1], tonumber(ARGV[2])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local form = redis.call("HGET", stock, "#form")
if form and string.sub(form, 1, #layout) ~= layout then
  return { "form", form }
elseif not form then
  form = layout .. nowText
  redis.call("HSET", stock, "#form", form)
end
return { "opened", form }
` as string,
} as const;

/** Tells what became of an id, and seals one that is not known, so that a request which is still on its way cannot be carried out after its id was read as absent (K1). */
export const outcome = {
  name: "inventory.outcome",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "rememberMs", "expireMax", "linesMax", "id", "bornMs", "seal"],
  rest: null,
  replies: ["form", "bad-stock", "too-late", "forgotten", "known", "sealed"],
  sha1: "f3e261d1845ab7bdd02bdc4dd86dff6d3631af38" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, linesMax, id, bornMs, seal = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), ARGV[9]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
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
local function lapse(id, words)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
  free(id)
  mark(id, words, "x")
end
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for _, id in ipairs(ids) do
    local words = found[id] and wordsOf(found[id]) or {}
    count = count + 1
    ended[count] = words
    lines = lines + #words / 2
    if lines >= linesMax then
      break
    end
  end
  loadHeld(ended)
  for at, words in ipairs(ended) do
    if words[1] and string.sub(words[1], 1, 1) == "h" then
      lapse(ids[at], words)
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
if bad then
  return { "bad-stock", bad }
end
local record = records({ id })[id]
record = fresh[id] or record
local forgotten = not record and bornMs > 0 and nowMs - bornMs > rememberMs
if not record and not forgotten then
  kept[#kept + 1] = id
  kept[#kept + 1] = seal .. "-" .. nowMsText
end
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
if forgotten then
  return { "forgotten" }
elseif record then
  return { "known", nowText, record, lapsed }
end
return { "sealed", lapsed }
` as string,
} as const;

/** A page of the movement log that begins with the movement the reader has seen last, so that it can tell whether the log is still the one it knows (V6). Changes nothing. */
export const read = {
  name: "inventory.read",
  keys: ["stock", "log"],
  args: ["sequence", "count"],
  rest: null,
  replies: ["page"],
  sha1: "e8969dfe058823f5a5b84c226c7a614d79b46c7d" as string,
  source: `local stock, log = KEYS[1], KEYS[2]
local sequence, count = ARGV[1], ARGV[2]
local page = redis.call("XRANGE", log, "0-" .. sequence, "+", "COUNT", count)
return { "page", redis.call("HGET", stock, "#form") or "", page }
` as string,
} as const;

/** Puts a parcel of another bucket on the shelf, once: the number of the last one received is never forgotten. */
export const receive = {
  name: "inventory.receive",
  keys: ["stock", "recordsA", "recordsB", "due", "log", "transit"],
  args: ["layout", "notAfterUs", "keepMs", "from", "to", "parcelNumber", "sku", "quantity"],
  rest: null,
  replies: ["form", "bad-stock", "too-late", "received"],
  sha1: "d27d8c69d56b0c95ba15d5fb419150cb56800d91" as string,
  source: `local stock, recordsA, recordsB, due, log, transit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, keepMs, from, to = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local parcelNumber, sku, quantity = ARGV[6], ARGV[7], ARGV[8]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = { sku }
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
if bad then
  return { "bad-stock", bad }
end
local last = redis.call("HGET", transit, "in:" .. from)
if not last or last < parcelNumber then
  put(sku, value[sku] + quantity)
  entries[1] = "i" .. nowText .. " " .. from .. ">" .. to .. ":" .. parcelNumber .. " # " .. sku .. " " .. quantity
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
  redis.call("HSET", transit, "in:" .. from, parcelNumber)
end
return { "received" }
` as string,
} as const;

/** Sets what is on hand, if nothing has moved since the caller looked: a stock-taking that cannot overwrite concurrent sales. Safe to repeat and to run late. */
export const seed = {
  name: "inventory.seed",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "rememberMs", "expireMax", "linesMax", "id", "bornMs", "content", "sequence", "known"],
  rest: "lines",
  replies: ["form", "bad-stock", "too-late", "forgotten", "known", "moved", "below-reserved", "seeded"],
  sha1: "a5fb121570e44120459eccc0a185ebea24c8ad83" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, linesMax, id, bornMs = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local content, sequence, known = ARGV[9], ARGV[10], ARGV[11]
local first = 12
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
for at = first, #ARGV, 2 do
  wanted[#wanted + 1] = ARGV[at]
  wanted[#wanted + 1] = "r#" .. ARGV[at]
end
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
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
local function lapse(id, words)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
  free(id)
  mark(id, words, "x")
end
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for _, id in ipairs(ids) do
    local words = found[id] and wordsOf(found[id]) or {}
    count = count + 1
    ended[count] = words
    lines = lines + #words / 2
    if lines >= linesMax then
      break
    end
  end
  loadHeld(ended)
  for at, words in ipairs(ended) do
    if words[1] and string.sub(words[1], 1, 1) == "h" then
      lapse(ids[at], words)
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
local record = records({ id })[id]
local function headNow()
  local newest = redis.call("XREVRANGE", log, "+", "-", "COUNT", 1)[1]
  return newest and string.sub(newest[1], 3) .. " " .. newest[2][2] or "0 "
end
local head = headNow()
local agedMs = record and nowMs - string.sub(record, 3, 15) or bornMs > 0 and nowMs - bornMs or 0
if agedMs > rememberMs and not (record and string.sub(record, 1, 1) == "h") then
  return { "forgotten" }
elseif record then
  return { "known", record, control[1] or "", head }
end
if string.sub(head, 1, #sequence + 1 + #known) ~= sequence .. " " .. known then
  return { "moved", control[1] or "", head }
end
if bad then
  return { "bad-stock", bad }
end
local moved = {}
for at = first, #ARGV, 2 do
  local sku, onHand = ARGV[at], tonumber(ARGV[at + 1])
  local reserved = value["r#" .. sku]
  if onHand < reserved then
    return { "below-reserved", sku, number(reserved) }
  end
  local change = onHand - reserved - value[sku]
  if change ~= 0 then
    moved[#moved + 1] = sku .. " " .. number(change)
  end
  put(sku, onHand - reserved)
end
if moved[1] then
  entries[#entries + 1] = "z" .. nowText .. " " .. id .. " # " .. table.concat(moved, " ")
end
kept[#kept + 1] = id
kept[#kept + 1] = "tz" .. nowMsText .. " " .. content
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
return { "seeded", redis.call("HGET", stock, "#form"), headNow() }
` as string,
} as const;

/** Ends reservations, each exactly once (V4): confirms them as a whole or in part, takes an expired one again if stock is left, or releases them. Safe to repeat and to run late: the record says what ended it, and a repeat carries the same mark. */
export const settle = {
  name: "inventory.settle",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "expireMax", "linesMax", "final", "itemCount"],
  rest: "items",
  replies: ["form", "bad-stock", "too-late", "settled"],
  sha1: "a964e6338365cc8829429732aab0c4dbecd2f9d0" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, expireMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local linesMax, final, itemCount = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
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
local function lapse(id, words)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
  free(id)
  mark(id, words, "x")
end
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for _, id in ipairs(ids) do
    local words = found[id] and wordsOf(found[id]) or {}
    count = count + 1
    ended[count] = words
    lines = lines + #words / 2
    if lines >= linesMax then
      break
    end
  end
  loadHeld(ended)
  for at, words in ipairs(ended) do
    if words[1] and string.sub(words[1], 1, 1) == "h" then
      lapse(ids[at], words)
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
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
local function parts(order, words)
  local first, lines, left = firstHeld(words), {}, order.lines
  local whole = left == 0
  for held = first, lastHeld(words, first), 2 do
    local sku, quantity = words[held], tonumber(words[held + 1])
    local part = whole and quantity or order.wanted[sku]
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
local function confirm(order, id, words)
  local lines, whole = parts(order, words)
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
  words[4] = order.mark
  setPart(words, lines, whole)
  mark(id, words, "c")
  return "c"
end
local function takeAgain(order, id, words)
  local lines, whole = parts(order, words)
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
  words[4] = order.mark
  if short then
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
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
return "settled " .. nowText .. " " .. lapsed .. "\\n" .. table.concat(answers, "\\n")
` as string,
} as const;

/** Returns due holds, and shortens those that a clock which went back has made longer than they were asked for (K8). */
export const sweep = {
  name: "inventory.sweep",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "expireMax", "linesMax", "holdMs"],
  rest: null,
  replies: ["form", "bad-stock", "too-late", "swept"],
  sha1: "bffa7c7974788d03fcae4d2ebc3d300d2fff4030" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local expireMax, linesMax, holdMs = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = tonumber(nowMsText)
local control = redis.call("HMGET", stock, "#form", "#next", "#side", "#liveA", "#liveB", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, resting, sinceMs, alone = "A", "B", nowMs, true
if control[3] then
  side = string.sub(control[3], 1, 1)
  sinceMs = tonumber(string.sub(control[3], 2))
  alone = side == "a"
  resting = side == "B" and "A" or "B"
  side = alone and "A" or side
end
local live = { A = tonumber(control[4] or 0), B = tonumber(control[5] or 0) }
local turned = nowMs - sinceMs >= keepMs and live[resting] == 0
if turned then
  side, resting, alone = resting, side, false
end
local current, rest = recordsA, recordsB
if side == "B" then
  current, rest = recordsB, recordsA
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  value[wanted[at]] = count or 0
end
local changed, changes = {}, {}
local function put(field, count)
  if not changed[field] then
    changed[field] = true
    changes[#changes + 1] = field
  end
  value[field] = count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, lapsed, dueLeft = {}, 0, false
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
local function lapse(id, words)
  lapsed = lapsed + 1
  entries[#entries + 1] = "x" .. nowText .. " " .. id .. " " .. words[6] .. " " .. unreserve(words, whole)
  free(id)
  mark(id, words, "x")
end
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids), {}, 0, 0
  for _, id in ipairs(ids) do
    local words = found[id] and wordsOf(found[id]) or {}
    count = count + 1
    ended[count] = words
    lines = lines + #words / 2
    if lines >= linesMax then
      break
    end
  end
  loadHeld(ended)
  for at, words in ipairs(ended) do
    if words[1] and string.sub(words[1], 1, 1) == "h" then
      lapse(ids[at], words)
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
if bad then
  return { "bad-stock", bad }
end
local late = redis.call("ZRANGE", due, number(nowMs + 1 + holdMs + 1), "+inf", "BYSCORE", "LIMIT", 0, expireMax)
local found = records(late)
for _, id in ipairs(late) do
  local words = found[id] and wordsOf(found[id])
  if words and string.sub(words[1], 1, 2) == "hv" then
    local lengthMs = words[2] - string.sub(words[1], 3, 15)
    if words[2] - nowMs > lengthMs then
      words[2] = number(nowMs + lengthMs)
      live[placeOf[id]] = live[placeOf[id]] - 1
      live[side] = live[side] + 1
      held[#held + 1] = words[2]
      held[#held + 1] = id
      nextMs = math.min(nextMs, nowMs + lengthMs)
      mark(id, words, "h")
    end
  end
end
if turned and #kept == 0 then
  nextBefore = nil
end
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk = 4000
  local holdsChange = held[1] or freed[1]
  if holdsChange then
    redis.call("ZCARD", due)
  end
  if freed[1] or turned then
    redis.call("XLEN", log)
  end
  if turned then
    redis.call("UNLINK", current)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, math.min(from + chunk - 1, #freed)))
  end
  for at = 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = {}, 0
  for at = 1, #changes do
    words[length + 1], words[length + 2] = changes[at], value[changes[at]]
    length = length + 2
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", (alone and "a" or side) .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  if holdsChange then
    words[length + 1], words[length + 2], words[length + 3], words[length + 4] = "#liveA", live.A, "#liveB", live.B
    length = length + 4
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, math.min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", current, unpack(kept, from, math.min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, math.min(from + chunk - 1, #held)))
  end
end
return { "swept", nowText, lapsed, dueLeft and "1" or "0", nextMs < math.huge and number(nextMs) or "" }
` as string,
} as const;
