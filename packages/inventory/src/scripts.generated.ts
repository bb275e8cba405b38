// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Carries out orders on the stock of one bucket: decrement, reserve, restock, adjust. Each has its own outcome; the id decides first (V2), an order is carried out as a whole or not at all (V3). Safe to repeat and to run late: a repeat gets the record. */
export const apply = {
  name: "inventory.apply",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "rememberMs", "expireMax", "itemCount"],
  rest: "items",
  replies: ["form", "bad-stock", "bad-order", "too-late", "applied"],
  sha1: "fafb7c9ed6f88d579de8922073e207377d538bb3" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4]
local expireMax, itemCount = ARGV[5], ARGV[6] + 0
local input, first = ARGV, 7
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local final, count = itemCount > 0, itemCount > 0 and itemCount or -itemCount
local wanted = { (table.unpack or unpack)(input, first + 2 * count) }
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
if nextMs <= nowMs then
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
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids, 1, #ids), {}, 0, 0
  for at = 1, #ids do
    count = at
    if found[at] and string.sub(found[at], 1, 2) == "hv" then
      local hold = holdOf(found[at])
      if hold then
        ended[at], lines = hold, lines + #hold.skus
      else
        bad = "record " .. ids[at]
      end
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      finish(ids[at], ended[at], "x", ended[at].held, "")
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
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
local old = agedMs > tonumber(rememberMs)
if not old and not only and agedMs > nowMs - sinceMs then
  local beforeMs = tonumber(redis.call("HGET", stock, "#before") or 0)
  old = nowMs - agedMs < beforeMs + keepMs - rememberMs
end
    answer = old and "f"
  end
  if not answer then
local partly, puts, least = flag == "a" and final and not dueLeft, kind == "k" or kind == "j", kind == "j" and -1099511627776 or 1
local lines, at, obstacle, less = 0, linesAt, false, false
while at <= #order do
  local sku, text, after = string.match(order, "^(%S+) (%S+) ?()", at)
  local quantity, there = tonumber(text) or 0, value[sku]
  if not (quantity >= least and quantity <= 1099511627776 and quantity % 1 == 0) or quantity == 0 then
    wrong, quantity = id, 0
  end
  local taken = puts and -quantity or quantity
  if partly and taken > there then
    taken, less = there, true
  end
  local left = there - taken
  if left < 0 then
    obstacle = "s"
  elseif taken < 0 then
    local share = math.floor(9007199254740991 / string.match(layout, ":(%d+):"))
    obstacle = left + value["r#" .. sku] - (value["n#" .. sku] or 0) > share and "o" .. sku or obstacle
  end
  lines, at = lines + 1, after
  value[sku], skus[lines], took[lines] = left, sku, taken
end
local moved = asked
if less and not obstacle then
  local list = {}
  for line = 1, lines do
    list[#list + 1] = took[line] > 0 and skus[line] .. " " .. string.format("%.0f", took[line]) or nil
  end
  obstacle, moved = not list[1] and "s", table.concat(list, " ")
  tail = tail .. " # " .. moved
end
if obstacle then
  for line = 1, lines do
    value[skus[line]] = value[skus[line]] + took[line]
  end
end
if obstacle == "s" and dueLeft then
  answer = "b"
elseif obstacle == "s" and final then
  local words = {}
  for line = 1, lines do
    words[line] = skus[line] .. " " .. string.format("%.0f", value[skus[line]])
  end
  local head = "n" .. kind .. nowMsText .. " " .. (kind == "v" and "0 " .. digits .. " - " or "")
  record = head .. flag .. " " .. reference .. " " .. asked .. " # " .. table.concat(words, " ")
  answer = "=" .. record
elseif obstacle then
  answer = obstacle
else
  entries[#entries + 1] = kind .. nowText .. " " .. id .. " " .. reference .. " " .. moved
  if kind == "v" then
    for line = 1, lines do
      local field = "r#" .. skus[line]
      value[field] = value[field] + took[line]
    end
    if digits ~= endDigits then
      endDigits, endText = digits, string.format("%.0f", nowMs + 1 + digits)
      nextMs = math.min(nextMs, nowMs + 1 + digits)
    end
    held[#held + 1] = endText
    held[#held + 1] = id
    record = "hv" .. nowMsText .. " " .. endText .. " " .. digits .. " - " .. tail
    answer = less and "=" .. record or "h" .. endText
  else
    record = "t" .. kind .. nowMsText .. " " .. tail
    answer = less and "=" .. record or "t"
  end
end
if record then
  if index < count then
    fresh[id] = record
  end
  kept[#kept + 1] = id
  kept[#kept + 1] = record
end
  end
  answers[index] = answer
end
if bad then
  return { "bad-stock", bad }
elseif wrong then
  return { "bad-order", wrong }
end
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
  end
end
return "applied " .. nowText .. (lapsed > 0 and " " .. lapsed or " 0") .. "\\n" .. table.concat(answers, "\\n")
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
  args: ["notAfterUs", "consumer", "sequence", "stamp", "known", "mode", "was", "trimMax"],
  rest: null,
  replies: ["too-late", "committed", "behind", "elsewhere"],
  sha1: "2794abcd730adf02d340a5d0e2c457f8d636247e" as string,
  source: `local stock, log, positions = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, consumer, sequence, stamp = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local known, mode, was, trimMax = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local position = redis.call("HGET", positions, consumer)
local target = mode == "d" and "" or sequence .. " " .. stamp
local ahead = mode == "f" and position and tonumber(string.match(position, "^%d+ ") or 0) > tonumber(sequence)
if ahead or mode ~= "f" and (position or "") ~= was and (position or "") ~= target then
  return { "behind", position or "0 " }
end
local found = redis.call("XRANGE", log, "0-" .. sequence, "+", "COUNT", 1)[1]
local next = found and string.sub(found[1], 3) or ""
local entry = next == sequence and found[2][2] or ""
if mode ~= "d" and known ~= "" and string.sub(entry, 1, #known) ~= known then
  return { "elsewhere", redis.call("HGET", stock, "#form") or "", entry, next }
end
local slowest, cut, all = mode == "d" and math.huge or tonumber(sequence), 0, redis.call("HGETALL", positions)
for at = 1, #all, 2 do
  if all[at] ~= consumer then
    slowest = math.min(slowest, tonumber(string.match(all[at + 1], "^%d+ ") or 0))
  end
end
if slowest < math.huge then
  cut = redis.call("XTRIM", log, "MINID", "~", "0-" .. string.format("%.0f", slowest), "LIMIT", trimMax)
end
if mode == "d" then
  redis.call("HDEL", positions, consumer)
else
  redis.call("HSET", positions, consumer, target)
end
return { "committed", sequence .. " " .. stamp, cut * 2 > trimMax and "1" or "0" }
` as string,
} as const;

/** Lets live holds last longer, each at most once per operation. An end is never made earlier, but where the clock that it was set by has gone back since: then the hold lasts its length from now, or what is asked for (K8). */
export const extend = {
  name: "inventory.extend",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "rememberMs", "expireMax", "operation", "bornMs", "reservation", "holdMs"],
  rest: null,
  replies: ["form", "bad-stock", "too-late", "forgotten", "known", "extended", "ended"],
  sha1: "7e21dc910230374aa543689c2657d858fd38eb84" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, operation, bornMs = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local reservation, holdMs = ARGV[8], ARGV[9]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
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
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids, 1, #ids), {}, 0, 0
  for at = 1, #ids do
    count = at
    if found[at] and string.sub(found[at], 1, 2) == "hv" then
      local hold = holdOf(found[at])
      if hold then
        ended[at], lines = hold, lines + #hold.skus
      else
        bad = "record " .. ids[at]
      end
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      finish(ids[at], ended[at], "x", ended[at].held, "")
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
local found = records({ operation, reservation }, 1, 2)
local known, record = fresh[operation] or found[1], fresh[reservation] or found[2]
local forgotten = false
if known then
  forgotten = string.sub(known, 1, 1) ~= "h" and nowMs - string.sub(known, 3, 15) > rememberMs
elseif bornMs > 0 then
  local agedMs = nowMs - bornMs
local old = agedMs > tonumber(rememberMs)
if not old and not only and agedMs > nowMs - sinceMs then
  local beforeMs = tonumber(redis.call("HGET", stock, "#before") or 0)
  old = nowMs - agedMs < beforeMs + keepMs - rememberMs
end
  forgotten = old
end
local hold = record and string.sub(record, 1, 2) == "hv" and holdOf(record)
local reply = false
if forgotten then
  reply = { "forgotten" }
elseif known then
  reply = { "known", known }
elseif not hold then
  reply = { "ended", record or "", lapsed }
elseif tonumber(hold.endText) <= nowMs then
  loadHeld({ hold })
  finish(reservation, hold, "x", hold.held, "")
  reply = { "ended", fresh[reservation], lapsed }
else
  local lengthMs = hold.endText - string.sub(record, 3, 15)
  local endMs = math.max(math.min(tonumber(hold.endText), nowMs + lengthMs), nowMs + 1 + holdMs)
  hold.endText, nextMs = string.format("%.0f", endMs), math.min(nextMs, endMs)
  mark(reservation, hold, "h", "")
  held[1], held[2] = hold.endText, reservation
  kept[#kept + 1] = operation
  kept[#kept + 1] = "te" .. nowMsText .. " " .. hold.endText .. " " .. reservation .. " " .. holdMs
  reply = { "extended", hold.endText, lapsed }
end
if bad then
  return { "bad-stock", bad }
end
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
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
  sha1: "910ffca46be3fcb9c9aaa8d3b4ca8ee17ccb8e13" as string,
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
local wanted = { sku, "n#" .. sku }
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
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
value[sku], value["n#" .. sku] = value[sku] - lent, value["n#" .. sku] - lent
entries[1] = "o" .. nowText .. " " .. from .. ">" .. to .. ":" .. parcelNumber .. " # " .. words
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
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
  args: ["layout", "notAfterUs", "keepMs", "expireMax"],
  rest: "skus",
  replies: ["form", "bad-stock", "too-late", "levels"],
  sha1: "9b5934818c115e09ce846246e33764f62056a10e" as string,
  source: `local stock, recordsA, recordsB, due, log, transit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, keepMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local expireMax = tonumber(ARGV[4])
local first = 5
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
local asked = #wanted
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
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
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids, 1, #ids), {}, 0, 0
  for at = 1, #ids do
    count = at
    if found[at] and string.sub(found[at], 1, 2) == "hv" then
      local hold = holdOf(found[at])
      if hold then
        ended[at], lines = hold, lines + #hold.skus
      else
        bad = "record " .. ids[at]
      end
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      finish(ids[at], ended[at], "x", ended[at].held, "")
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
for at = 1, asked do
  counters[at] = string.format("%.0f", value[wanted[at]])
end
local parcels = redis.call("HGETALL", transit)
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
  end
end
local newest = redis.call("XREVRANGE", log, "+", "-", "COUNT", 1)[1]
local head = newest and string.sub(newest[1], 3) .. " " .. newest[2][2] or ""
local form = control[1] or redis.call("HGET", stock, "#form") or ""
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
  args: ["layout", "notAfterUs", "keepMs", "rememberMs", "expireMax", "id", "bornMs", "seal"],
  rest: null,
  replies: ["form", "bad-stock", "too-late", "forgotten", "known", "sealed"],
  sha1: "89bf58bcb7a0f9ca4e40cb5fe464d5e7b0b2a006" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, id, bornMs, seal = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), ARGV[8]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
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
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids, 1, #ids), {}, 0, 0
  for at = 1, #ids do
    count = at
    if found[at] and string.sub(found[at], 1, 2) == "hv" then
      local hold = holdOf(found[at])
      if hold then
        ended[at], lines = hold, lines + #hold.skus
      else
        bad = "record " .. ids[at]
      end
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      finish(ids[at], ended[at], "x", ended[at].held, "")
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
local record = records({ id }, 1, 1)[1]
record = fresh[id] or record
local forgotten = false
if not record and bornMs > 0 then
  local agedMs = nowMs - bornMs
local old = agedMs > tonumber(rememberMs)
if not old and not only and agedMs > nowMs - sinceMs then
  local beforeMs = tonumber(redis.call("HGET", stock, "#before") or 0)
  old = nowMs - agedMs < beforeMs + keepMs - rememberMs
end
  forgotten = old
end
if not record and not forgotten then
  kept[#kept + 1] = id
  kept[#kept + 1] = seal .. "-" .. nowMsText
end
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
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
  sha1: "583d32a1aa2ff76b7c986ea9c7a82855faeee26d" as string,
  source: `local stock, recordsA, recordsB, due, log, transit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, keepMs, from, to = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local parcelNumber, sku, quantity = ARGV[6], ARGV[7], ARGV[8]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = { sku, "n#" .. sku }
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
if bad then
  return { "bad-stock", bad }
end
local last = redis.call("HGET", transit, "in:" .. from)
if not last or last < parcelNumber then
  value[sku], value["n#" .. sku] = value[sku] + quantity, value["n#" .. sku] + quantity
  entries[1] = "i" .. nowText .. " " .. from .. ">" .. to .. ":" .. parcelNumber .. " # " .. sku .. " " .. quantity
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
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
  args: ["layout", "notAfterUs", "keepMs", "rememberMs", "expireMax", "id", "bornMs", "content", "sequence", "known"],
  rest: "lines",
  replies: ["form", "bad-stock", "too-late", "forgotten", "known", "moved", "below-reserved", "overflow", "seeded"],
  sha1: "7d344d46465260d0e56855903e3a63e0207a161b" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, id, bornMs = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local content, sequence, known = ARGV[8], ARGV[9], ARGV[10]
local first = 11
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
  wanted[#wanted + 1] = "n#" .. ARGV[at]
end
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
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
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids, 1, #ids), {}, 0, 0
  for at = 1, #ids do
    count = at
    if found[at] and string.sub(found[at], 1, 2) == "hv" then
      local hold = holdOf(found[at])
      if hold then
        ended[at], lines = hold, lines + #hold.skus
      else
        bad = "record " .. ids[at]
      end
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      finish(ids[at], ended[at], "x", ended[at].held, "")
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
local record = records({ id }, 1, 1)[1]
local function headNow()
  local newest = redis.call("XREVRANGE", log, "+", "-", "COUNT", 1)[1]
  return newest and string.sub(newest[1], 3) .. " " .. newest[2][2] or "0 "
end
local head = headNow()
local forgotten = false
if record then
  forgotten = string.sub(record, 1, 1) ~= "h" and nowMs - string.sub(record, 3, 15) > rememberMs
elseif bornMs > 0 then
  local agedMs = nowMs - bornMs
local old = agedMs > tonumber(rememberMs)
if not old and not only and agedMs > nowMs - sinceMs then
  local beforeMs = tonumber(redis.call("HGET", stock, "#before") or 0)
  old = nowMs - agedMs < beforeMs + keepMs - rememberMs
end
  forgotten = old
end
if forgotten then
  return { "forgotten" }
elseif record then
  return { "known", record, control[1] or "" }
end
if string.sub(head, 1, #sequence + 1 + #known) ~= sequence .. " " .. known then
  return { "moved", control[1] or "", head }
end
if bad then
  return { "bad-stock", bad }
end
local moved, share = {}, math.floor(9007199254740991 / string.match(layout, ":(%d+):"))
for at = first, #ARGV, 2 do
  local sku, onHand = ARGV[at], tonumber(ARGV[at + 1])
  local reserved = value["r#" .. sku]
  if onHand < reserved then
    return { "below-reserved", sku, string.format("%.0f", reserved), dueLeft and "1" or "" }
  end
  if onHand - value["n#" .. sku] > share then
    return { "overflow", sku }
  end
  local change = onHand - reserved - value[sku]
  if change ~= 0 then
    moved[#moved + 1] = sku .. " " .. string.format("%.0f", change)
  end
  value[sku] = onHand - reserved
  control[(at - first) / 2 * 3 + 4] = false
end
if moved[1] then
  entries[#entries + 1] = "z" .. nowText .. " " .. id .. " # " .. table.concat(moved, " ")
end
local newest, place = entries[#entries], string.match(head, "^%d+") + #entries
local start = newest and string.match(newest, "^%S+ %S+") or string.match(head, "^%d+ (%S+ %S+)") or ""
kept[#kept + 1] = id
kept[#kept + 1] = "tz" .. nowMsText .. " " .. content .. " " .. string.format("%.0f", place) .. " " .. start
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
  end
end
return { "seeded", redis.call("HGET", stock, "#form"), headNow() }
` as string,
} as const;

/** Ends reservations, each exactly once (V4): confirms them as a whole or in part, takes an expired one again if stock is left, or releases them. Safe to repeat and to run late: the record says what ended it, and a repeat carries the same mark. */
export const settle = {
  name: "inventory.settle",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "expireMax", "linesMax", "itemCount"],
  rest: "items",
  replies: ["form", "bad-stock", "too-late", "settled"],
  sha1: "e4fd8b433ff7b15bbe3032e52e1982a485396601" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, expireMax = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4]
local linesMax, itemCount = ARGV[5] + 0, ARGV[6] + 0
local input, first = ARGV, 7
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local final, count = itemCount > 0, itemCount > 0 and itemCount or -itemCount
local wanted = { nil, nil }
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
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
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids, 1, #ids), {}, 0, 0
  for at = 1, #ids do
    count = at
    if found[at] and string.sub(found[at], 1, 2) == "hv" then
      local hold = holdOf(found[at])
      if hold then
        ended[at], lines = hold, lines + #hold.skus
      else
        bad = "record " .. ids[at]
      end
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      finish(ids[at], ended[at], "x", ended[at].held, "")
    else
      freed[#freed + 1] = ids[at]
    end
  end
  local following = redis.call("ZRANGE", due, count, count, "WITHSCORES")
  nextMs = following[2] and tonumber(following[2]) or math.huge
  dueLeft = nextMs <= nowMs
end
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
      fresh[id] = "sv" .. nowMsText
      kept[#kept + 1] = id
      kept[#kept + 1] = fresh[id]
    end
  elseif state == "h" and what == "r" then
    hold.mark = operation
    finish(id, hold, "r", hold.held, "")
    answer = "r"
  elseif state == "h" or state == "x" and what == "k" then
local skus, whole, parts, exceeds = hold.skus, linesAt > #request, hold.counts, false
if not whole then
  local asked, left = {}, 0
  for sku, text in string.gmatch(string.sub(request, linesAt), "(%S+) (%S+)") do
    asked[sku], left = tonumber(text), left + 1
  end
  parts = {}
  for at = 1, #skus do
    local sku = skus[at]
    local part = asked[sku]
    exceeds = exceeds or part and not (part >= 1 and part <= tonumber(hold.counts[at]) and part % 1 == 0)
    parts[at], left = string.format("%.0f", part or 0), part and left - 1 or left
  end
  exceeds = exceeds or left > 0
end
local moved, there, short, more = { nil }, state == "x" and {}, false, ""
for at = 1, #skus do
  local sku = skus[at]
  local words = sku .. " " .. parts[at]
  if state == "h" then
    moved[at] = words .. " " .. hold.counts[at]
  elseif parts[at] ~= "0" then
    moved[#moved + 1], there[#there + 1] = words, words .. " " .. string.format("%.0f", value[sku])
    short = short or value[sku] < tonumber(parts[at])
  end
  if not whole and parts[at] ~= "0" then
    more = more .. " " .. words
  end
end
more = whole and "" or (hold.taken and " #" or " # #") .. more
if exceeds then
  answer = "e"
elseif short and dueLeft then
  answer = "b"
elseif short and not final then
  answer = "s"
elseif short then
  hold.mark = operation
  mark(id, hold, "y", (whole and (hold.taken and " # " or " # # ") .. hold.held or more) .. " # " .. table.concat(there, " "))
  answer = "i"
else
  hold.mark = operation
  local words = table.concat(moved, " ")
  if state == "h" then
    finish(id, hold, "c", words, more, parts)
  else
    for at = 1, #skus do
      value[skus[at]] = value[skus[at]] - parts[at]
    end
    entries[#entries + 1] = "t" .. nowText .. " " .. id .. " " .. hold.reference .. " " .. words
    mark(id, hold, "c", more)
  end
  answer = "c"
end
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
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
  end
end
return "settled " .. nowText .. (lapsed > 0 and " " .. lapsed or " 0") .. "\\n" .. table.concat(answers, "\\n")
` as string,
} as const;

/** Returns due holds, and shortens those that a clock which went back has made longer than they were asked for (K8). */
export const sweep = {
  name: "inventory.sweep",
  keys: ["stock", "recordsA", "recordsB", "due", "log"],
  args: ["layout", "notAfterUs", "keepMs", "expireMax", "holdMs", "lateSkip"],
  rest: null,
  replies: ["form", "bad-stock", "too-late", "swept"],
  sha1: "bfb946127e9e83398d06a659c4170f3133b9eee4" as string,
  source: `local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local expireMax, holdMs, lateSkip = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local wanted = {}
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
local control = redis.call("HMGET", stock, "#form", "#next", "#side", unpack(wanted))
if control[1] and string.sub(control[1], 1, #layout) ~= layout then
  return { "form", control[1] }
end
local side, sinceMs = "a", nowMs
if control[3] then
  side, sinceMs = string.sub(control[3], 1, 1), string.sub(control[3], 2) + 0
end
local current, rest, only = recordsA, recordsB, side == "a"
if side == "B" then
  current, rest = rest, current
end
local into, turned, liveAtRest, liveBefore = current, false, false, false
if nowMs - sinceMs >= keepMs then
  local live = redis.call("ZCARD", due)
  liveBefore = (redis.call("HGET", stock, "#atRest") or 0) + 0
  liveAtRest = math.min(liveBefore, live)
  turned = liveAtRest == 0
  if turned then
    side, into, only, liveAtRest = side == "B" and "A" or "B", rest, true, live
  end
end
local nextMs = control[2] and control[2] ~= "" and control[2] + 0 or math.huge
local nextBefore = nextMs
local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 3] or 0)
  if not count or count < 0 and string.sub(wanted[at], 1, 2) ~= "n#" or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 3], value[wanted[at]] = count, count
end
local entries, kept, held, freed = { nil }, { nil, nil }, { nil, nil }, {}
local fresh, atRest, lapsed, dueLeft = {}, {}, 0, false
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
if nextMs <= nowMs then
  local ids = redis.call("ZRANGE", due, "-inf", nowMsText, "BYSCORE", "LIMIT", 0, expireMax)
  local found, ended, lines, count = records(ids, 1, #ids), {}, 0, 0
  for at = 1, #ids do
    count = at
    if found[at] and string.sub(found[at], 1, 2) == "hv" then
      local hold = holdOf(found[at])
      if hold then
        ended[at], lines = hold, lines + #hold.skus
      else
        bad = "record " .. ids[at]
      end
    end
    if lines >= expireMax * 10 then
      break
    end
  end
  loadHeld(ended)
  for at = 1, count do
    if ended[at] then
      finish(ids[at], ended[at], "x", ended[at].held, "")
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
local lateText = string.format("%.0f", nowMs + 1 + holdMs + 1)
local late = redis.call("ZRANGE", due, lateText, "+inf", "BYSCORE", "LIMIT", lateSkip, expireMax)
local found, shortened = records(late, 1, #late), 0
for at, id in ipairs(late) do
  local record = found[at]
  if record and string.sub(record, 1, 2) == "hv" then
    local hold = holdOf(record)
    local lengthMs = hold and hold.endText - string.sub(record, 3, 15)
    if hold and hold.endText - nowMs > lengthMs then
      hold.endText = string.format("%.0f", nowMs + lengthMs)
      held[#held + 1] = hold.endText
      held[#held + 1] = id
      nextMs, shortened = math.min(nextMs, nowMs + lengthMs), shortened + 1
      mark(id, hold, "h", "")
    end
  end
end
if turned and #kept == 0 then
  nextBefore = nil
end
if entries[1] or kept[1] or held[1] or freed[1] or nextMs ~= nextBefore then
  local chunk, min = 4000, math.min
  if held[1] or freed[1] then
    redis.call("ZCARD", due)
  end
  local added, foreign = 0, "WRONGTYPE the log has entries of another program"
  if entries[1] then
    local answer = redis.pcall("XADD", log, "0-*", "m", entries[1])
    if type(answer) ~= "table" then
      added = 1
    elseif string.find(answer.err, "specified in XADD", 1, true) then
      return redis.error_reply(foreign)
    elseif not string.find(answer.err, "OOM", 1, true) then
      return answer
    elseif redis.call("XREVRANGE", log, "+", "1-0", "COUNT", 1)[1] then
      return redis.error_reply(foreign)
    end
  end
  if turned then
    redis.call("UNLINK", into)
  end
  for from = 1, #freed, chunk do
    redis.call("ZREM", due, unpack(freed, from, min(from + chunk - 1, #freed)))
  end
  for at = added + 1, #entries do
    redis.call("XADD", log, "0-*", "m", entries[at])
  end
  local words, length = { nil, nil, nil, nil }, 0
  if liveAtRest ~= liveBefore then
    words[1], words[2], length = "#atRest", liveAtRest, 2
  end
  for at = 1, #wanted do
    local field = wanted[at]
    if value[field] ~= control[at + 3] then
      words[length + 1], words[length + 2] = field, value[field]
      length = length + 2
    end
  end
  if not control[1] then
    words[length + 1], words[length + 2] = "#form", layout .. nowText
    length = length + 2
  end
  if turned then
    words[length + 1], words[length + 2] = "#before", string.format("%.0f", sinceMs)
    length = length + 2
  end
  if turned or not control[3] or sinceMs > nowMs then
    words[length + 1], words[length + 2] = "#side", side .. nowMsText
    length = length + 2
  end
  if nextMs ~= nextBefore then
    words[length + 1], words[length + 2] = "#next", nextMs < math.huge and string.format("%.0f", nextMs) or ""
    length = length + 2
  end
  for from = 1, length, chunk do
    redis.call("HSET", stock, unpack(words, from, min(from + chunk - 1, length)))
  end
  for from = 1, #kept, chunk do
    redis.call("HSET", into, unpack(kept, from, min(from + chunk - 1, #kept)))
  end
  for from = 1, #held, chunk do
    redis.call("ZADD", due, unpack(held, from, min(from + chunk - 1, #held)))
  end
end
local nextText = nextMs < math.huge and string.format("%.0f", nextMs) or ""
return { "swept", nowText, lapsed, dueLeft and "1" or "0", nextText, #late, shortened }
` as string,
} as const;
