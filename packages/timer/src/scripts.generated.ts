// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Takes timers back. A timer that is leased may be running: it is marked, and neither a retry nor the end of its lease delivers it again. Otherwise a tombstone keeps out schedules that were sent before and arrive later (T5). */
export const cancel = {
  name: "timer.cancel",
  keys: ["due", "data", "notes", "later", "state", "memoryA", "memoryB"],
  args: ["layout", "notAfterUs"],
  rest: "items",
  replies: ["layout", "too-late", "cancelled"],
  sha1: "9023e64b918c502ac8da1b7c18d9ceb8e808b7a8" as string,
  source: `local due, data, notes, later, state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local layout, notAfterUs = ARGV[1], tonumber(ARGV[2])
local itemsAt = 3
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
if shard[7] then
  return { "layout", "" }
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local function answerAndOperation(record)
  return string.match(record or "", "^([srf]%w%w%w%w%w%w%w%w%w%w%-?%d+) (%S+) ")
end
local function generationOf(answer)
  return tonumber(string.sub(answer, 2, 11), 36)
end
local function dueMsAndRecord(following)
  return string.match(following or "", "^(%d+) (.*)$")
end
local function operationIn(body)
  return string.sub(body, 1, string.find(body, " ", 1, true) - 1)
end
local function keepAnswer(id, record)
  local answer, operation = answerAndOperation(record)
  if answer then
    memorize("s" .. operation .. " " .. id, answer)
  end
end
local removed, installedScores, installedRecords, followedIds = {}, {}, {}, {}, {}
local function conclude(id, record, following)
  local dueMs, nextRecord = dueMsAndRecord(following)
  if not nextRecord then
    local answer, operation = answerAndOperation(record)
    memorize("i" .. id, answer and nowText .. " " .. answer .. " " .. operation or nowText)
    removed[#removed + 1] = id
    return
  end
  if record then
    keepAnswer(id, record)
  end
  local count = #installedScores
  installedScores[count + 1] = dueMs .. "000"
  installedScores[count + 2] = id
  installedRecords[count + 1] = id
  installedRecords[count + 2] = nextRecord
  followedIds[#followedIds + 1] = id
end
local function writeEnds()
  if #removed > 0 then
    redis.call("ZREM", due, unpack(removed))
    redis.call("HDEL", data, unpack(removed))
    redis.call("HDEL", notes, unpack(removed))
  end
  if #followedIds > 0 then
    redis.call("HDEL", later, unpack(followedIds))
    redis.call("HDEL", notes, unpack(followedIds))
    redis.call("ZADD", due, unpack(installedScores))
    redis.call("HSET", data, unpack(installedRecords))
  end
end
local ids, fields = {}, {}
for at = itemsAt, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
  fields[#fields + 1] = "c" .. ARGV[at + 1] .. " " .. ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local noted = redis.call("HMGET", notes, unpack(ids))
local records = redis.call("HMGET", data, unpack(ids))
local followings = redis.call("HMGET", later, unpack(ids))
local marks = recallMarks(ids)
local answers = recall(fields)
local marked, forgotten = {}, {}
for index, id in ipairs(ids) do
  if not answers[index] then
    if not scores[index] then
      answers[index] = "absent"
      memorize("i" .. id, marks[index] or nowText)
    elseif isLease(scores[index]) then
      answers[index] = "firing"
      marked[#marked + 1] = id
      marked[#marked + 1] = makeNote(attemptsOf(noted[index]), isSuspect(noted[index]), true, tokenOf(noted[index]))
    else
      answers[index] = "cancelled"
      conclude(id, records[index], false)
    end
    if followings[index] then
      local _, nextRecord = dueMsAndRecord(followings[index])
      keepAnswer(id, nextRecord)
      forgotten[#forgotten + 1] = id
    end
    memorize("x" .. id, nowText)
    memorize(fields[index], answers[index])
  end
end
if #forgotten > 0 then
  redis.call("HDEL", later, unpack(forgotten))
end
writeEnds()
if #marked > 0 then
  redis.call("HDEL", state, "plain")
  redis.call("HSET", notes, unpack(marked))
end
remember()
return { "cancelled", nowText, answers }
` as string,
} as const;

/** Takes acknowledgements and leases due timers, as one request that is safe to repeat (K7). Each timer of the batch gets the same token and the same end of lease; that pair identifies the lease. Leases that ended without an answer are left to reap. Acknowledgements that are not plain (extended, cancelled, rescheduled or lost) are left to settle. */
export const claim = {
  name: "timer.claim",
  keys: ["due", "data", "notes", "later", "state", "memoryA", "memoryB"],
  args: ["layout", "notAfterUs", "lane", "sequence", "limit", "leaseUs", "ackCount"],
  rest: "acks",
  replies: ["layout", "too-late", "outrun", "claimed"],
  sha1: "8e1b0d797574a3e358390358fb68f52ed5c7c604" as string,
  source: `local due, data, notes, later, state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local layout, notAfterUs, lane, sequence = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local limit, leaseUs, ackCount = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local acksAt = 8
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local crashedOrRetried = not shard[9] and redis.call("EXISTS", notes, later) > 0
local batches, removed, refused = {}, {}, {}
local batchMin = 8
local function isBatch(list, leaseEnd, first, last)
  local count = last - first + 1
  if crashedOrRetried or count < batchMin or redis.call("ZCOUNT", due, leaseEnd, leaseEnd) ~= count then
    return false
  end
  local holders = redis.call("ZRANGE", due, leaseEnd, leaseEnd, "BYSCORE")
  local place = 1
  while holders[place] and holders[place] == list[first + place - 1] do
    place = place + 1
  end
  local held = {}
  for index = place, count do
    held[holders[index]] = true
  end
  for at = first + place - 1, last do
    if not held[list[at]] then
      return false
    end
    held[list[at]] = nil
  end
  return true
end
local function rememberEnd(id, head)
  memorize("i" .. id, head == "" and nowText or nowText .. " " .. head)
end
local function checkEach(list, leaseEnd, first, last)
  local scores = redis.call("ZMSCORE", due, unpack(list, first, last))
  local noted = crashedOrRetried and redis.call("HMGET", notes, unpack(list, first, last)) or {}
  local followings = crashedOrRetried and redis.call("HMGET", later, unpack(list, first, last)) or {}
  for at = first, last do
    local index = at - first + 1
    if scores[index] ~= leaseEnd or noted[index] or followings[index] then
      refused[#refused + 1] = list[at]
    else
      removed[#removed + 1] = list[at]
      rememberEnd(list[at], list[last + index])
    end
  end
end
local function checkAcknowledgements(list, at)
  while list[at] do
    local leaseEnd, count = list[at], tonumber(list[at + 1])
    local first, last = at + 2, at + 1 + count
    if isBatch(list, leaseEnd, first, last) then
      batches[#batches + 1] = { leaseEnd, unpack(list, first, last) }
      for ackAt = first, last do
        rememberEnd(list[ackAt], list[ackAt + count])
      end
    else
      checkEach(list, leaseEnd, first, last)
    end
    at = last + count + 1
  end
end
local function writeAcknowledgements()
  local ended = #removed
  for _, batch in ipairs(batches) do
    redis.call("HDEL", data, unpack(batch, 2))
    redis.call("ZREMRANGEBYSCORE", due, batch[1], batch[1])
    ended = ended + #batch - 1
  end
  if #removed > 0 then
    redis.call("HDEL", data, unpack(removed))
    redis.call("ZREM", due, unpack(removed))
  end
  return ended
end
local function halves(found, count)
  local ids, scores = {}, {}
  for index = 1, count do
    ids[index], scores[index] = found[index * 2 - 1], found[index * 2]
  end
  return ids, scores
end
local function findDue(limit, few, isScored)
  local found, count, ids, scores = nil, 0, nil, nil
  if few > 0 then
    found = redis.call("ZRANGE", due, 0, few, "WITHSCORES")
    while found[count * 2 + 2] and tonumber(found[count * 2 + 2]) <= nowUs do
      count = count + 1
    end
    ids, scores = halves(found, math.min(count, limit))
    if count > limit then
      return ids, scores, nowText
    elseif count <= few then
      return ids, scores, found[count * 2 + 2] or ""
    end
  end
  if isScored then
    found = redis.call("ZRANGE", due, "-inf", nowText, "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
    ids, scores = halves(found, #found / 2)
  else
    ids, scores = redis.call("ZRANGE", due, "-inf", nowText, "BYSCORE", "LIMIT", 0, limit), nil
  end
  if #ids == limit then
    return ids, scores, nowText
  end
  return ids, scores, redis.call("ZRANGE", due, "(" .. nowText, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")[2] or ""
end
local fewMax = 3
local linesMaxBytes = 1048576
local function asLines(head, ids, records)
  local lines, count, bytes = { head }, 1, 0
  local lineBreak = string.find(table.concat(ids), "\\n", 1, true)
  for index = 1, #ids do
    local record = records[index] or ""
    lines[count + 1], lines[count + 2] = ids[index], record
    count = count + 2
    bytes = bytes + #record
    lineBreak = lineBreak or string.find(record, "\\n", 1, true)
  end
  return not lineBreak and bytes <= linesMaxBytes and table.concat(lines, "\\n")
end
local trouble = tonumber(shard[2]) > nowUs + 1000000 and "back" or ""
local earlier = recall({ "w" .. lane })[1]
local last = earlier and string.match(earlier, "^%d+")
if last and tonumber(last) > tonumber(sequence) then
  return { "outrun", nowText }
elseif last == sequence then
  local token, leaseEnd, refusals, batch, told = string.match(earlier, "^%d+ (%d*) (%d*) ([^\\254]*)\\254([^\\254]*)\\254(.*)$")
  local ids, deadlines = {}, {}
  for id in string.gmatch(refusals, "[^\\255]+") do
    refused[#refused + 1] = id
  end
  local nextDeadline = string.gmatch(told, "[^\\255]+")
  for id in string.gmatch(batch, "[^\\255]+") do
    local deadline = nextDeadline()
    if redis.call("ZSCORE", due, id) == leaseEnd then
      ids[#ids + 1] = id
      deadlines[#ids] = deadline
    end
  end
  local records = #ids > 0 and redis.call("HMGET", data, unpack(ids)) or {}
  local noted = #ids > 0 and redis.call("HMGET", notes, unpack(ids)) or {}
  return { "claimed", nowText, token, leaseEnd, nowText, trouble, refused, ids, records, deadlines, noted }
end
checkAcknowledgements(ARGV, acksAt)
local ids, records, deadlines, noted, nextDue = {}, {}, {}, {}, ""
if limit > 0 and not shard[7] then
  local found, scores
  local isScored = crashedOrRetried or not shard[10] or nowUs >= tonumber(shard[10])
  found, scores, nextDue = findDue(limit, ackCount > fewMax and 0 or math.min(limit, fewMax), isScored)
  if not scores then
    ids = found
  end
  for index = 1, scores and #found or 0 do
    if isLease(scores[index]) then
      trouble = trouble == "" and "lapsed" or trouble
    else
      ids[#ids + 1] = found[index]
      deadlines[#ids] = crashedOrRetried and scores[index] or nil
    end
  end
end
if #ids > 0 then
  records = redis.call("HMGET", data, unpack(ids))
  noted = crashedOrRetried and redis.call("HMGET", notes, unpack(ids)) or {}
end
if #ids + ackCount == 0 then
  return { "claimed", nowText, "", "", nextDue, trouble, refused, ids, records, deadlines, noted }
end
local ended = writeAcknowledgements()
local token, leaseEnd = "", ""
if #ids > 0 then
  token = nextToken(shard[2])
  leaseEnd = leaseEndText(leaseUs)
end
local stillLeased = tonumber(shard[3]) - ended
local leased = string.format("%.0f", stillLeased + #ids)
local changed = { "floor", token ~= "" and token or shard[2], "leased", leased }
if #ids > 0 and shard[10] and (stillLeased == 0 or tonumber(leaseEnd) < tonumber(shard[10])) then
  changed[#changed + 1] = "endsUs"
  changed[#changed + 1] = leaseEnd
end
if leaseUs > tonumber(shard[8] or 0) then
  changed[#changed + 1] = "leaseMaxUs"
  changed[#changed + 1] = string.format("%.0f", leaseUs)
end
if not shard[9] and not crashedOrRetried then
  changed[#changed + 1] = "plain"
  changed[#changed + 1] = "1"
end
if type(redis.pcall("HSET", state, unpack(changed))) == "table" then
  redis.call("HDEL", state, "")
  redis.call("HSET", state, unpack(changed))
end
if #ids > 0 then
  local leases = {}
  for index = 1, #ids do
    leases[index * 2 - 1], leases[index * 2] = leaseEnd, ids[index]
  end
  redis.call("ZADD", due, unpack(leases))
end
local lists = table.concat({ table.concat(refused, "\\255"), table.concat(ids, "\\255"), table.concat(deadlines, "\\255") }, "\\254")
memorize("w" .. lane, table.concat({ sequence, token, leaseEnd, lists }, " "))
remember()
local isUsual = #ids > 0 and #refused == 0 and #noted == 0
local head = table.concat({ "claimed", nowText, token, leaseEnd, nextDue, trouble }, "\\n")
return isUsual and asLines(head, ids, records)
  or { "claimed", nowText, token, leaseEnd, nextDue, trouble, refused, ids, records, deadlines, noted }
` as string,
} as const;

/** Removes from a sealed shard what another has taken over, which counts the leases among it. */
export const discard = {
  name: "timer.discard",
  keys: ["index", "bodies", "notes", "later", "state"],
  args: ["layout", "notAfterUs", "part"],
  rest: "items",
  replies: ["layout", "too-late", "discarded"],
  sha1: "3fa224bc7135a530ec8f6e5f8dbcf831323b1194" as string,
  source: `local index, bodies, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, part = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local itemsAt = 4
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local ids = {}
for at = itemsAt, #ARGV do
  ids[#ids + 1] = ARGV[at]
end
local scores = redis.call("ZMSCORE", index, unpack(ids))
redis.call("HLEN", bodies)
redis.call("HLEN", notes)
redis.call("HLEN", later)
redis.call("ZREM", index, unpack(ids))
redis.call("HDEL", bodies, unpack(ids))
redis.call("HDEL", notes, unpack(ids))
redis.call("HDEL", later, unpack(ids))
local leased = tonumber(shard[3])
for place = 1, part == "due" and #ids or 0 do
  if isLease(scores[place]) then
    leased = leased - 1
  end
end
redis.call("HSET", state, "leased", string.format("%.0f", math.max(leased, 0)))
return { "discarded", nowText }
` as string,
} as const;

/** Throws a dead letter away. */
export const drop = {
  name: "timer.drop",
  keys: ["state", "memoryA", "memoryB", "dead", "deadData"],
  args: ["layout", "notAfterUs", "id", "operation"],
  rest: null,
  replies: ["layout", "too-late", "dropped"],
  sha1: "5b193542bc9f82309f2fc7f60916c6f33d8680b2" as string,
  source: `local state, memoryA, memoryB, dead, deadData = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, id, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
if shard[7] then
  return { "layout", "" }
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local field = "d" .. operation .. " " .. id
local answered = recall({ field })[1]
if answered then
  return { "dropped", nowText, { answered } }
end
redis.call("HLEN", deadData)
local answer = redis.call("ZSCORE", dead, id) and "dropped" or "absent"
if answer == "dropped" then
  redis.call("ZREM", dead, id)
  redis.call("HDEL", deadData, id)
end
memorize(field, answer)
remember()
return { "dropped", nowText, { answer } }
` as string,
} as const;

/** Prolongs leases, and puts on record that their attempts have begun. Safe to repeat: an extended lease is known by its token. The highest number given out rises to this time, so that a clock which goes back afterwards is noticed (K8). */
export const extend = {
  name: "timer.extend",
  keys: ["due", "notes", "state"],
  args: ["layout", "notAfterUs", "leaseUs"],
  rest: "items",
  replies: ["layout", "too-late", "extended"],
  sha1: "6084e2578a0db1bca1c84eb5dbfeb8311947e448" as string,
  source: `local due, notes, state = KEYS[1], KEYS[2], KEYS[3]
local layout, notAfterUs, leaseUs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local itemsAt = 4
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local ids = {}
for at = itemsAt, #ARGV, 4 do
  ids[#ids + 1] = ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local noted = redis.call("HMGET", notes, unpack(ids))
local leaseEnd = leaseEndText(leaseUs)
local outcomes, rescored, renoted = "", {}, {}
for index, id in ipairs(ids) do
  local at = itemsAt + (index - 1) * 4
  local score, note, token = scores[index], noted[index], ARGV[at + 2]
  if not isLease(score) or (score ~= ARGV[at + 1] and tokenOf(note) ~= token) then
    outcomes = outcomes .. "l"
  elseif isCancelled(note) then
    outcomes = outcomes .. "c"
  else
    outcomes = outcomes .. "r"
    rescored[#rescored + 1] = leaseEnd
    rescored[#rescored + 1] = id
    renoted[#renoted + 1] = id
    renoted[#renoted + 1] = makeNote(tonumber(ARGV[at + 3]), isSuspect(note), false, token)
  end
end
if #rescored > 0 then
  redis.call("HDEL", state, "plain")
  redis.call("HSET", notes, unpack(renoted))
  redis.call("ZADD", due, unpack(rescored))
  if nowText > shard[2] then
    redis.call("HSET", state, "floor", nowText)
  end
end
return { "extended", nowText, outcomes }
` as string,
} as const;

/** Removes from what a sealed shard remembers what another has taken over, so that an id is remembered in its own shard alone. */
export const forget = {
  name: "timer.forget",
  keys: ["state", "memoryA", "memoryB"],
  args: ["layout", "notAfterUs"],
  rest: "items",
  replies: ["layout", "too-late", "forgotten"],
  sha1: "f575a0f6f5a4ca4609e4580363552c4339e9020e" as string,
  source: `local state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3]
local layout, notAfterUs = ARGV[1], tonumber(ARGV[2])
local itemsAt = 3
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local fields = {}
for at = itemsAt, #ARGV do
  fields[#fields + 1] = ARGV[at]
end
redis.call("HLEN", memoryB)
redis.call("HDEL", memoryA, unpack(fields))
redis.call("HDEL", memoryB, unpack(fields))
return { "forgotten", nowText }
` as string,
} as const;

/** Looks at one timer. */
export const get = {
  name: "timer.get",
  keys: ["due", "data", "notes", "later", "state"],
  args: ["layout", "id"],
  rest: null,
  replies: ["layout", "absent", "found"],
  sha1: "5633015fe6748a850b14a9bcd588af51ce1053dc" as string,
  source: `local due, data, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, id = ARGV[1], ARGV[2]
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local score = redis.call("ZSCORE", due, id)
if not score then
  return { "absent" }
end
return { "found", score, redis.call("HGET", data, id) or "", redis.call("HGET", notes, id), redis.call("HGET", later, id) }
` as string,
} as const;

/** Makes a pending timer due now. Its note says that its deadline is no longer that of its record. */
export const hasten = {
  name: "timer.hasten",
  keys: ["due", "notes", "state", "memoryA", "memoryB", "wake"],
  args: ["layout", "notAfterUs", "publish", "id", "operation"],
  rest: null,
  replies: ["layout", "too-late", "hastened"],
  sha1: "5ee270d0314f6bfea1f8848e823fb44abf730e03" as string,
  source: `local due, notes, state, memoryA, memoryB, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, publish, id, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
if shard[7] then
  return { "layout", "" }
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local field = "h" .. operation .. " " .. id
local answered = recall({ field })[1]
if answered then
  return { "hastened", nowText, { answered } }
end
local score = redis.call("ZSCORE", due, id)
local note = redis.call("HGET", notes, id)
local answer = "due"
local nowMs = math.floor(nowUs / 1000)
if not score then
  answer = "absent"
elseif isLease(score) then
  answer = "firing"
elseif tonumber(score) > nowMs * 1000 then
  redis.call("HDEL", state, "plain")
  redis.call("HSET", notes, id, note or makeNote(0, false, false, ""))
  redis.call("ZADD", due, string.format("%.0f", nowMs * 1000), id)
end
memorize(field, answer)
remember()
if answer == "due" then
  redis.pcall(publish, wake, string.format("%.0f", nowMs))
end
return { "hastened", nowText, { answer } }
` as string,
} as const;

/** Reads dead letters in the order of their burial. */
export const listDead = {
  name: "timer.list-dead",
  keys: ["state", "dead", "deadData"],
  args: ["layout", "limit"],
  rest: null,
  replies: ["layout", "dead"],
  sha1: "272f86611abbfd8f15d3707376dd4bb49ea31d53" as string,
  source: `local state, dead, deadData = KEYS[1], KEYS[2], KEYS[3]
local layout, limit = ARGV[1], tonumber(ARGV[2])
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local found = redis.call("ZRANGE", dead, 0, limit - 1, "WITHSCORES")
local letters = {}
for at = 1, #found, 2 do
  local epitaph = redis.call("HGET", deadData, found[at]) or ""
  local attempts, size, rest = string.match(epitaph, "^(%d+) (%d+) (.*)$")
  local errorEnd = tonumber(size or 0)
  rest = rest or epitaph
  letters[#letters + 1] = {
    found[at],
    found[at + 1],
    attempts or "0",
    string.sub(rest, 1, errorEnd),
    string.sub(rest, errorEnd + 1),
  }
end
return { "dead", letters }
` as string,
} as const;

/** Takes one shard through a change of the number of shards (T11): first nothing new is leased or changed, then, when no lease is left, nothing is accepted at all while timers are carried over, then the new layout begins. Each step may be repeated. A caller looks at every shard before its first step, and each step is taken only where the shard still is as its caller knows it. So one that others have overtaken, who have taken the move back or begun it anew meanwhile, stops no shard, and finishes none that is not carried over. A shard beyond the number so far holds nothing, unless a failover has taken back that it was given up; then its leases are not waited for. What its layout says is left from an earlier move, which may have been between any numbers, so it is taken as it was found. */
export const move = {
  name: "timer.move",
  keys: ["due", "state"],
  args: ["notAfterUs", "step", "from", "to", "floor", "unused", "known"],
  rest: null,
  replies: ["too-late", "draining", "sealed", "finished", "other"],
  sha1: "c3dd48e6d688e3eca82e8c4e4891ad9cc973824a" as string,
  source: `local due, state = KEYS[1], KEYS[2]
local notAfterUs, step, from, to = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local floor, unused, known = ARGV[5], ARGV[6], ARGV[7]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local kept = redis.call("HMGET", state, "layout", "leased", "moving", "floor")
local layout, moving = kept[1], kept[3]
local sealed = "1:" .. from .. ">" .. to .. ":"
local before, after = "1:" .. from .. ":", "1:" .. to .. ":"
if layout and string.sub(layout, 1, #after) == after and not moving then
  if step ~= "look" and floor > kept[4] then
    redis.call("HSET", state, "floor", floor)
  end
  return { "finished", layout, kept[4] }
elseif layout and string.sub(layout, 1, #sealed) == sealed then
  if step ~= "finish" then
    return { "sealed", layout, kept[4] }
  elseif layout ~= known then
    return { "other", layout }
  end
  redis.call("HDEL", state, "moving")
  redis.call("HSET", state, "layout", after .. nowText, "movedUs", nowText, "floor", floor)
  return { "finished", after .. nowText, floor }
elseif not layout and step == "look" then
  return { "draining", "", "0" }
elseif not layout then
  layout = sealed .. nowText
  local isEmpty = redis.call("EXISTS", due) == 0
  redis.call("HSET", state, "layout", layout, "movedUs", nowText, "floor", nowText, "leased", "0", "side", "A", "sideUs", "0")
  redis.call("HSET", state, "keepUs", "60000000", "moving", to)
  if isEmpty then
    redis.call("HSET", state, "endsUs", "0")
  end
  return { "sealed", layout, nowText }
elseif step == "finish" or (step ~= "look" and layout ~= known) or not string.find(layout, "^1:[%d>]+:") then
  return { "other", layout }
elseif unused ~= "1" and (string.sub(layout, 1, #before) ~= before or (moving or to) ~= to or (step == "seal" and not moving)) then
  return { "other", layout }
elseif step == "seal" and (unused == "1" or tonumber(kept[2]) <= 0) then
  layout = sealed .. nowText
  redis.call("HSET", state, "layout", layout, "moving", to)
  return { "sealed", layout, kept[4] }
elseif step == "drain" then
  redis.call("HSET", state, "moving", to)
end
return { "draining", layout, kept[2] }
` as string,
} as const;

/** Learns the form in which a shard is kept, or founds it; makes known how long this client's requests can be on their way, and how long it wants what has ended to be remembered. A request is refused unless it carries the layout that was learned here, so the longest bound on record covers every request that can still arrive. The layout holds the time of founding: what was sent before the shard was lost or moved is refused afterwards. Whoever raises the time for which the shard remembers keeps what it remembers by now for as long (T5, K1). What was forgotten under the shorter time is not known any more, and reconcile is not to guess about it (T2). */
export const open = {
  name: "timer.open",
  keys: ["due", "state", "memoryA", "memoryB"],
  args: ["notAfterUs", "shards", "boundUs", "keepUs", "found"],
  rest: null,
  replies: ["too-late", "opened", "absent", "other", "moving"],
  sha1: "759b800f9b5ee9ee29759d020fbcedb4ef394e5e" as string,
  source: `local due, state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs = tonumber(ARGV[1])
local shards, boundUs, keepUs, found = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local kept = redis.call("HMGET", state, "layout", "boundUs", "keepUs", "moving", "movedUs")
local layout = kept[1]
if not layout then
  if found ~= "1" then
    return { "absent" }
  end
  layout = "1:" .. shards .. ":" .. nowText
elseif string.sub(layout, 1, #shards + 3) ~= "1:" .. shards .. ":" then
  return { "other", layout }
end
boundUs = math.max(boundUs, tonumber(kept[2] or 0))
keepUs = math.max(keepUs, boundUs, tonumber(kept[3] or 0))
if not kept[1] then
  local isEmpty = redis.call("EXISTS", due) == 0
  redis.call("HSET", state, "layout", layout, "floor", nowText, "leased", "0", "side", "A", "sideUs", "0")
  if isEmpty then
    redis.call("HSET", state, "endsUs", "0")
  end
end
if boundUs ~= tonumber(kept[2]) or keepUs ~= tonumber(kept[3]) then
  redis.call("HSET", state, "boundUs", string.format("%.0f", boundUs), "keepUs", string.format("%.0f", keepUs))
end
local keptUs = tonumber(kept[3] or keepUs)
if keepUs > keptUs then
  redis.call("PEXPIRE", memoryA, string.format("%.0f", keepUs * 3 / 1000))
  redis.call("PEXPIRE", memoryB, string.format("%.0f", keepUs * 3 / 1000))
  redis.call("HSET", state, "movedUs", string.format("%.0f", math.max(tonumber(kept[5] or 0), nowUs - keptUs * 2)))
  if redis.call("EXISTS", memoryA, memoryB) == 0 then
    redis.call("HSET", state, "sideUs", "0")
  end
end
if kept[4] then
  return { "moving", nowText, layout, kept[4] }
end
return { "opened", nowText, layout }
` as string,
} as const;

/** Reads a part of a sealed shard, to be carried to another. */
export const pack = {
  name: "timer.pack",
  keys: ["index", "bodies", "notes", "later", "state"],
  args: ["layout", "cursor", "count"],
  rest: null,
  replies: ["layout", "packed"],
  sha1: "6df5227cf74c444a4c9f3c6fbc988002cadada9a" as string,
  source: `local index, bodies, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, cursor, count = ARGV[1], ARGV[2], ARGV[3]
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local scanned = redis.call("ZSCAN", index, cursor, "COUNT", count)
local timers = scanned[2]
local found, noted, followings = {}, {}, {}
for at = 1, #timers, 2 do
  found[#found + 1] = redis.call("HGET", bodies, timers[at]) or ""
  noted[#noted + 1] = redis.call("HGET", notes, timers[at]) or ""
  followings[#followings + 1] = redis.call("HGET", later, timers[at]) or ""
end
return { "packed", scanned[1], timers, found, noted, followings }
` as string,
} as const;

/** Sees to leases that ended without an answer: their timers are due again, or buried when the last attempt had begun, or gone when cancelled. A lapse spends an attempt only when it is on record that the handler had begun; from then on the timer is suspect, and its worker records the beginning before it runs the handler. When the server's clock went back, a lease would stand for as long as the clock has lost. One whole lease after that was first seen, every live holder has extended its lease by the new clock; what still ends later than a lease from now is dead, and lapses (K8). */
export const reap = {
  name: "timer.reap",
  keys: ["due", "data", "notes", "later", "state", "memoryA", "memoryB", "dead", "deadData"],
  args: ["layout", "notAfterUs", "limit", "attemptsMax", "leaseUs", "error", "passedUs"],
  rest: null,
  replies: ["layout", "too-late", "reaped"],
  sha1: "5d1e0ee2fcf5c0b8fdabfd8ca505b9773ad57aaa" as string,
  source: `local due, data, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local memoryA, memoryB, dead, deadData = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local layout, notAfterUs, limit, attemptsMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local leaseUs, error, passedUs = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local function answerAndOperation(record)
  return string.match(record or "", "^([srf]%w%w%w%w%w%w%w%w%w%w%-?%d+) (%S+) ")
end
local function generationOf(answer)
  return tonumber(string.sub(answer, 2, 11), 36)
end
local function dueMsAndRecord(following)
  return string.match(following or "", "^(%d+) (.*)$")
end
local function operationIn(body)
  return string.sub(body, 1, string.find(body, " ", 1, true) - 1)
end
local function keepAnswer(id, record)
  local answer, operation = answerAndOperation(record)
  if answer then
    memorize("s" .. operation .. " " .. id, answer)
  end
end
local removed, installedScores, installedRecords, followedIds = {}, {}, {}, {}, {}
local function conclude(id, record, following)
  local dueMs, nextRecord = dueMsAndRecord(following)
  if not nextRecord then
    local answer, operation = answerAndOperation(record)
    memorize("i" .. id, answer and nowText .. " " .. answer .. " " .. operation or nowText)
    removed[#removed + 1] = id
    return
  end
  if record then
    keepAnswer(id, record)
  end
  local count = #installedScores
  installedScores[count + 1] = dueMs .. "000"
  installedScores[count + 2] = id
  installedRecords[count + 1] = id
  installedRecords[count + 2] = nextRecord
  followedIds[#followedIds + 1] = id
end
local function writeEnds()
  if #removed > 0 then
    redis.call("ZREM", due, unpack(removed))
    redis.call("HDEL", data, unpack(removed))
    redis.call("HDEL", notes, unpack(removed))
  end
  if #followedIds > 0 then
    redis.call("HDEL", later, unpack(followedIds))
    redis.call("HDEL", notes, unpack(followedIds))
    redis.call("ZADD", due, unpack(installedScores))
    redis.call("HSET", data, unpack(installedRecords))
  end
end
local buried, epitaphs = {}, {}
local function bury(id, record, attempts, error)
  local count = #buried
  buried[count + 1] = nowText
  buried[count + 2] = id
  epitaphs[count + 1] = id
  epitaphs[count + 2] = attempts .. " " .. #error .. " " .. error .. (record or "")
end
local function writeBurials()
  if #buried > 0 then
    redis.call("ZADD", dead, unpack(buried))
    redis.call("HSET", deadData, unpack(epitaphs))
  end
end
local backFields
local function strandedLeases(limit)
  local kept = redis.call("HMGET", state, "backUs", "backTopUs", "backAtUs", "leaseMaxUs")
  local lengthUs = math.max(leaseUs, tonumber(kept[4] or 0))
  local backUs = tonumber(kept[1] or math.huge)
  if nowUs < backUs then
    if kept[1] or tonumber(shard[2]) > nowUs + 1000000 then
      local topUs = math.max(tonumber(shard[2]) + lengthUs, tonumber(kept[2] or 0))
      backFields = { "backUs", nowText, "backTopUs", string.format("%.0f", topUs), "backAtUs", "0" }
    end
    return {}
  elseif nowUs < backUs + lengthUs then
    return {}
  end
  local from = math.max(nowUs + lengthUs, tonumber(kept[3]))
  local found = redis.call("ZRANGE", due, string.format("(%.0f", from), kept[2], "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
  local ids = {}
  for at = 1, #found, 2 do
    if isLease(found[at + 1]) then
      ids[#ids + 1] = found[at]
    end
  end
  if #found < limit * 2 then
    backFields = {}
  else
    local last = tonumber(found[#found])
    backFields = { "backAtUs", string.format("%.0f", isLease(found[#found]) and last - 1 or last) }
  end
  return ids
end
local function noteRewind()
  if not backFields then
    return
  end
  if #backFields == 0 then
    redis.call("HDEL", state, "backUs", "backTopUs", "backAtUs")
  else
    redis.call("HSET", state, unpack(backFields))
  end
end
local ids, graves = {}, {}
local found = redis.call("ZRANGE", due, "(" .. passedUs, nowText, "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
for at = 1, #found, 2 do
  if isLease(found[at + 1]) then
    ids[#ids + 1] = found[at]
  end
end
passedUs = "0"
if #found >= limit * 2 then
  local last = tonumber(found[#found])
  passedUs = string.format("%.0f", isLease(found[#found]) and last - 1 or last)
end
local stranded = strandedLeases(limit)
for index = 1, #stranded do
  ids[#ids + 1] = stranded[index]
end
if #ids == 0 then
  noteRewind()
  return { "reaped", nowText, 0, graves, passedUs }
end
local noted = redis.call("HMGET", notes, unpack(ids))
local records = redis.call("HMGET", data, unpack(ids))
local followings = redis.call("HMGET", later, unpack(ids))
redis.call("ZCARD", dead)
redis.call("HLEN", deadData)
recall({ "i" })
local nowDue = string.format("%.0f", math.floor(nowUs / 1000) * 1000)
local rescored, renoted = {}, {}
for index, id in ipairs(ids) do
  local note, record = noted[index], records[index]
  local attempts = attemptsOf(note)
  if isCancelled(note) or not record then
    conclude(id, record, followings[index])
  elseif attempts >= attemptsMax then
    graves[#graves + 1] = id
    bury(id, record, tostring(attempts), error)
    conclude(id, record, followings[index])
  else
    rescored[#rescored + 1] = nowDue
    rescored[#rescored + 1] = id
    renoted[#renoted + 1] = id
    renoted[#renoted + 1] = makeNote(attempts, true, false, "")
  end
end
redis.call("HDEL", state, "plain")
noteRewind()
writeEnds()
writeBurials()
if #rescored > 0 then
  redis.call("ZADD", due, unpack(rescored))
  redis.call("HSET", notes, unpack(renoted))
end
redis.call("HSET", state, "leased", string.format("%.0f", tonumber(shard[3]) - #ids))
remember()
return { "reaped", nowText, #ids, graves, passedUs }
` as string,
} as const;

/** Reads a part of what a sealed shard remembers, to be carried to another. */
export const recollect = {
  name: "timer.recollect",
  keys: ["state", "memoryA", "memoryB"],
  args: ["layout", "half", "cursor", "count"],
  rest: null,
  replies: ["layout", "recollected"],
  sha1: "8e66c6c78f697abe44854fd34aa73d1a2092f03e" as string,
  source: `local state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3]
local layout, half, cursor, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local isInB = (shard[4] == "B") == (half == "young")
local scanned = redis.call("HSCAN", isInB and memoryB or memoryA, cursor, "COUNT", count)
return { "recollected", scanned[1], shard[6], scanned[2] }
` as string,
} as const;

/** Makes a dead letter a timer again, due now, with a new generation and all its attempts. */
export const redrive = {
  name: "timer.redrive",
  keys: ["due", "data", "notes", "later", "state", "memoryA", "memoryB", "dead", "deadData", "wake"],
  args: ["layout", "notAfterUs", "publish", "id", "operation"],
  rest: null,
  replies: ["layout", "too-late", "redriven"],
  sha1: "3d02cf206ae55ad6d37f5d6079bdc82330a2ca44" as string,
  source: `local due, data, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local memoryA, memoryB, dead, deadData, wake = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local layout, notAfterUs, publish, id, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
if shard[7] then
  return { "layout", "" }
end
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local function answerAndOperation(record)
  return string.match(record or "", "^([srf]%w%w%w%w%w%w%w%w%w%w%-?%d+) (%S+) ")
end
local function generationOf(answer)
  return tonumber(string.sub(answer, 2, 11), 36)
end
local function dueMsAndRecord(following)
  return string.match(following or "", "^(%d+) (.*)$")
end
local function operationIn(body)
  return string.sub(body, 1, string.find(body, " ", 1, true) - 1)
end
local function keepAnswer(id, record)
  local answer, operation = answerAndOperation(record)
  if answer then
    memorize("s" .. operation .. " " .. id, answer)
  end
end
local generation = nextToken(shard[2])
local bornMs = math.floor(tonumber(generation) / 1000)
local nowMs = math.ceil(nowUs / 1000)
local earliestMs = math.huge
local scored, recorded, followed, unnoted = {}, {}, {}, {}
local born, number = "", tonumber(generation)
for _ = 1, 10 do
  local digit = number % 36
  born = string.sub("0123456789abcdefghijklmnopqrstuvwxyz", digit + 1, digit + 1) .. born
  number = (number - digit) / 36
end
local dueMsByWhen, scoreByDueMs, answersByKind = {}, {}, { s = {}, r = {}, f = {} }
local function dueMsOf(when)
  local dueMs = dueMsByWhen[when]
  if not dueMs then
    local ms = tonumber(string.sub(when, 3))
    dueMs = string.sub(when, 2, 2) == "+" and nowMs + ms or ms
    dueMsByWhen[when] = dueMs
  end
  return dueMs
end
local function answerWith(kind, dueMs)
  local answer = answersByKind[kind][dueMs]
  if not answer then
    answer = kind .. born .. dueMs - bornMs
    answersByKind[kind][dueMs], scoreByDueMs[dueMs] = answer, dueMs .. "000"
  end
  return answer
end
local function setAll(kind, ids, bodies, first, last, dueMs)
  local answer = answerWith(kind, dueMs)
  local head, score, count = answer .. " ", scoreByDueMs[dueMs], #scored
  for index = first, last do
    local id = ids[index]
    scored[count + 1], scored[count + 2] = score, id
    recorded[count + 1], recorded[count + 2] = id, head .. bodies[index]
    count = count + 2
  end
  earliestMs = math.min(earliestMs, dueMs)
  return answer
end
local function set(kind, id, dueMs, body)
  if kind ~= "f" then
    return setAll(kind, { id }, { body }, 1, 1, dueMs)
  end
  local answer, count = answerWith(kind, dueMs), #followed
  followed[count + 1], followed[count + 2] = id, dueMs .. " " .. answer .. " " .. body
  return answer
end
local function rearrange(id, score, when, body)
  local operation = operationIn(body)
  local record, following = redis.call("HGET", data, id), redis.call("HGET", later, id)
  local answer, of = answerAndOperation(record)
  local nextMs, next = dueMsAndRecord(following)
  local nextAnswer, nextOf = answerAndOperation(next)
  if of == operation then
    return answer
  elseif nextOf == operation then
    return nextAnswer
  end
  local leased, rival, rivalMs = isLease(score), record, tonumber(score) / 1000
  if leased then
    rival, rivalMs, answer = next, tonumber(nextMs), nextAnswer
  end
  local mode, dueMs = string.sub(when, 1, 1), dueMsOf(when)
  if rival and (mode == "k" or (mode == "e" and dueMs >= rivalMs)) then
    if not answer then
      return "u"
    end
    local offsetMs = rivalMs - math.floor(generationOf(answer) / 1000)
    local kept = "k" .. string.sub(answer, 2, 11) .. string.format("%.0f", offsetMs)
    memorize("s" .. operation .. " " .. id, kept)
    return kept
  end
  if rival then
    keepAnswer(id, rival)
  end
  if next and not leased then
    keepAnswer(id, next)
  end
  if leased then
    return set("f", id, dueMs, body)
  end
  unnoted[#unnoted + 1] = id
  return set("r", id, dueMs, body)
end
local function write()
  if #unnoted > 0 then
    redis.call("HDEL", notes, unpack(unnoted))
    redis.call("HDEL", later, unpack(unnoted))
  end
  if #scored > 0 then
    redis.call("HSET", data, unpack(recorded))
    redis.call("ZADD", due, unpack(scored))
  end
  if #followed > 0 then
    redis.call("HSET", later, unpack(followed))
    redis.call("HDEL", state, "plain")
  end
  if #scored + #followed > 0 then
    redis.call("HSET", state, "floor", generation)
  end
  remember()
end
local field = "r" .. operation .. " " .. id
local answered = recall({ field })[1]
if answered then
  return { "redriven", nowText, { answered } }
end
local mark = recallMarks({ id })[1]
local epitaph = redis.call("HGET", deadData, id)
local score = redis.call("ZSCORE", due, id)
redis.call("ZSCORE", dead, id)
redis.call("HLEN", data)
local answer = "redriven"
if not epitaph then
  answer = "absent"
elseif score then
  answer = "exists"
end
memorize(field, answer)
if answer == "redriven" then
  local _, size, rest = string.match(epitaph, "^(%d+) (%d+) (.*)$")
  local record = string.sub(rest or epitaph, tonumber(size or 0) + 1)
  local space = string.find(record, " ", 1, true) or 0
  local payload = string.sub(record, (string.find(record, " ", space + 1, true) or 0) + 1)
  redis.call("ZREM", dead, id)
  redis.call("HDEL", deadData, id)
  keepMark(id, mark)
  set("s", id, math.floor(nowUs / 1000), "\\127 " .. payload)
end
write()
if answer == "redriven" then
  redis.pcall(publish, wake, string.format("%.0f", earliestMs))
end
return { "redriven", nowText, { answer } }
` as string,
} as const;

/** Takes over what another shard remembered, in which nothing happens any more, and remembers for no less time than that one did. What is known here already stays as it is: it was taken over before, and what is younger was brought first. Only of the times at which a timer has ended or was cancelled the later counts: a shard of which a failover took back that it was given up knows those of before. */
export const remind = {
  name: "timer.remind",
  keys: ["state", "memoryA", "memoryB"],
  args: ["layout", "notAfterUs", "leastUs"],
  rest: "items",
  replies: ["layout", "too-late", "reminded"],
  sha1: "4492fa621cb9468a9a91b75499fc7841620b2f1d" as string,
  source: `local state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3]
local layout, notAfterUs, leastUs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local itemsAt = 4
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local fields = {}
for at = itemsAt, #ARGV, 2 do
  fields[#fields + 1] = ARGV[at]
end
local known = recall(fields)
for index, field in ipairs(fields) do
  local value, isTime = ARGV[itemsAt + index * 2 - 1], string.find(field, "^[ix]")
  if not known[index] or (isTime and value > known[index]) then
    memorize(field, value)
  end
end
remember()
if leastUs > keepUs then
  local lifeMs = string.format("%.0f", leastUs * 3 / 1000)
  redis.call("HSET", state, "keepUs", string.format("%.0f", leastUs))
  redis.call("PEXPIRE", memoryA, lifeMs)
  redis.call("PEXPIRE", memoryB, lifeMs)
end
return { "reminded", nowText }
` as string,
} as const;

/** Sets the timers that the caller's own records say were pending at a time, where they are missing; never one that has fired, was cancelled or was given up since. It refuses to guess about a time of which too much is forgotten. */
export const restore = {
  name: "timer.restore",
  keys: ["due", "data", "notes", "later", "state", "memoryA", "memoryB", "dead", "wake"],
  args: ["layout", "notAfterUs", "publish", "asOfUs"],
  rest: "items",
  replies: ["layout", "too-late", "window", "restored"],
  sha1: "95e16206ed619fbabbe86f77beaf1bc531e5daa0" as string,
  source: `local due, data, notes, later, state, memoryA, memoryB, dead, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local layout, notAfterUs, publish, asOfUs = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local itemsAt = 5
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
if shard[7] then
  return { "layout", "" }
end
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local function answerAndOperation(record)
  return string.match(record or "", "^([srf]%w%w%w%w%w%w%w%w%w%w%-?%d+) (%S+) ")
end
local function generationOf(answer)
  return tonumber(string.sub(answer, 2, 11), 36)
end
local function dueMsAndRecord(following)
  return string.match(following or "", "^(%d+) (.*)$")
end
local function operationIn(body)
  return string.sub(body, 1, string.find(body, " ", 1, true) - 1)
end
local function keepAnswer(id, record)
  local answer, operation = answerAndOperation(record)
  if answer then
    memorize("s" .. operation .. " " .. id, answer)
  end
end
local generation = nextToken(shard[2])
local bornMs = math.floor(tonumber(generation) / 1000)
local nowMs = math.ceil(nowUs / 1000)
local earliestMs = math.huge
local scored, recorded, followed, unnoted = {}, {}, {}, {}
local born, number = "", tonumber(generation)
for _ = 1, 10 do
  local digit = number % 36
  born = string.sub("0123456789abcdefghijklmnopqrstuvwxyz", digit + 1, digit + 1) .. born
  number = (number - digit) / 36
end
local dueMsByWhen, scoreByDueMs, answersByKind = {}, {}, { s = {}, r = {}, f = {} }
local function dueMsOf(when)
  local dueMs = dueMsByWhen[when]
  if not dueMs then
    local ms = tonumber(string.sub(when, 3))
    dueMs = string.sub(when, 2, 2) == "+" and nowMs + ms or ms
    dueMsByWhen[when] = dueMs
  end
  return dueMs
end
local function answerWith(kind, dueMs)
  local answer = answersByKind[kind][dueMs]
  if not answer then
    answer = kind .. born .. dueMs - bornMs
    answersByKind[kind][dueMs], scoreByDueMs[dueMs] = answer, dueMs .. "000"
  end
  return answer
end
local function setAll(kind, ids, bodies, first, last, dueMs)
  local answer = answerWith(kind, dueMs)
  local head, score, count = answer .. " ", scoreByDueMs[dueMs], #scored
  for index = first, last do
    local id = ids[index]
    scored[count + 1], scored[count + 2] = score, id
    recorded[count + 1], recorded[count + 2] = id, head .. bodies[index]
    count = count + 2
  end
  earliestMs = math.min(earliestMs, dueMs)
  return answer
end
local function set(kind, id, dueMs, body)
  if kind ~= "f" then
    return setAll(kind, { id }, { body }, 1, 1, dueMs)
  end
  local answer, count = answerWith(kind, dueMs), #followed
  followed[count + 1], followed[count + 2] = id, dueMs .. " " .. answer .. " " .. body
  return answer
end
local function rearrange(id, score, when, body)
  local operation = operationIn(body)
  local record, following = redis.call("HGET", data, id), redis.call("HGET", later, id)
  local answer, of = answerAndOperation(record)
  local nextMs, next = dueMsAndRecord(following)
  local nextAnswer, nextOf = answerAndOperation(next)
  if of == operation then
    return answer
  elseif nextOf == operation then
    return nextAnswer
  end
  local leased, rival, rivalMs = isLease(score), record, tonumber(score) / 1000
  if leased then
    rival, rivalMs, answer = next, tonumber(nextMs), nextAnswer
  end
  local mode, dueMs = string.sub(when, 1, 1), dueMsOf(when)
  if rival and (mode == "k" or (mode == "e" and dueMs >= rivalMs)) then
    if not answer then
      return "u"
    end
    local offsetMs = rivalMs - math.floor(generationOf(answer) / 1000)
    local kept = "k" .. string.sub(answer, 2, 11) .. string.format("%.0f", offsetMs)
    memorize("s" .. operation .. " " .. id, kept)
    return kept
  end
  if rival then
    keepAnswer(id, rival)
  end
  if next and not leased then
    keepAnswer(id, next)
  end
  if leased then
    return set("f", id, dueMs, body)
  end
  unnoted[#unnoted + 1] = id
  return set("r", id, dueMs, body)
end
local function write()
  if #unnoted > 0 then
    redis.call("HDEL", notes, unpack(unnoted))
    redis.call("HDEL", later, unpack(unnoted))
  end
  if #scored > 0 then
    redis.call("HSET", data, unpack(recorded))
    redis.call("ZADD", due, unpack(scored))
  end
  if #followed > 0 then
    redis.call("HSET", later, unpack(followed))
    redis.call("HDEL", state, "plain")
  end
  if #scored + #followed > 0 then
    redis.call("HSET", state, "floor", generation)
  end
  remember()
end
local known = redis.call("HMGET", state, "movedUs", "restUs")
local earliestUs = math.max(tonumber(known[1] or 0), tonumber(known[2] or 0), nowUs - keepUs * 2)
if asOfUs < earliestUs or asOfUs > nowUs then
  return { "window", nowText, string.format("%.0f", earliestUs) }
end
local ids, fields = {}, {}
for at = itemsAt, #ARGV, 3 do
  ids[#ids + 1] = ARGV[at]
  fields[#fields + 1] = "x" .. ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local graves = redis.call("ZMSCORE", dead, unpack(ids))
local cancelled = recall(fields)
local marks = recallMarks(ids)
local answers = {}
for index, id in ipairs(ids) do
  local at = itemsAt + (index - 1) * 3
  local cancelledUs, endedUs = tonumber(cancelled[index] or 0), tonumber(string.sub(marks[index] or "0", 1, 16))
  if scores[index] then
    answers[index] = "p"
  elseif tonumber(graves[index] or 0) > asOfUs then
    answers[index] = "d"
  elseif cancelledUs > asOfUs or endedUs > asOfUs then
    answers[index] = "e"
  else
    answers[index] = "s"
    keepMark(id, marks[index])
    set("s", id, dueMsOf(ARGV[at + 1]), ARGV[at + 2])
  end
end
write()
if earliestMs < math.huge then
  redis.pcall(publish, wake, string.format("%.0f", earliestMs))
end
return { "restored", nowText, answers }
` as string,
} as const;

/** Sets timers, each at most once per operation (T9), and none that was cancelled after its request was made (T5). A record is: kind of the answer (s, r or f; the letter stands for format 1), generation (10 digits to the base of 36), deadline in ms minus the generation's ms, a space, operation, a space, payload. An answer is the record up to the first space. */
export const schedule = {
  name: "timer.schedule",
  keys: ["due", "data", "notes", "later", "state", "memoryA", "memoryB", "wake"],
  args: ["layout", "sentUs", "knownUs", "notAfterUs", "publish", "pendingMax", "delayMaxMs"],
  rest: "items",
  replies: ["layout", "too-late", "scheduled"],
  sha1: "fa0adad911b44164210f4b6aefae51599d106f0c" as string,
  source: `local due, data, notes, later, state, memoryA, memoryB, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local layout, sentUs, knownUs, notAfterUs, publish = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local pendingMax, delayMaxMs = tonumber(ARGV[6]), tonumber(ARGV[7])
local itemsAt = 8
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
if shard[7] then
  return { "layout", "" }
end
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local function answerAndOperation(record)
  return string.match(record or "", "^([srf]%w%w%w%w%w%w%w%w%w%w%-?%d+) (%S+) ")
end
local function generationOf(answer)
  return tonumber(string.sub(answer, 2, 11), 36)
end
local function dueMsAndRecord(following)
  return string.match(following or "", "^(%d+) (.*)$")
end
local function operationIn(body)
  return string.sub(body, 1, string.find(body, " ", 1, true) - 1)
end
local function keepAnswer(id, record)
  local answer, operation = answerAndOperation(record)
  if answer then
    memorize("s" .. operation .. " " .. id, answer)
  end
end
local generation = nextToken(shard[2])
local bornMs = math.floor(tonumber(generation) / 1000)
local nowMs = math.ceil(nowUs / 1000)
local earliestMs = math.huge
local scored, recorded, followed, unnoted = {}, {}, {}, {}
local born, number = "", tonumber(generation)
for _ = 1, 10 do
  local digit = number % 36
  born = string.sub("0123456789abcdefghijklmnopqrstuvwxyz", digit + 1, digit + 1) .. born
  number = (number - digit) / 36
end
local dueMsByWhen, scoreByDueMs, answersByKind = {}, {}, { s = {}, r = {}, f = {} }
local function dueMsOf(when)
  local dueMs = dueMsByWhen[when]
  if not dueMs then
    local ms = tonumber(string.sub(when, 3))
    dueMs = string.sub(when, 2, 2) == "+" and nowMs + ms or ms
    dueMsByWhen[when] = dueMs
  end
  return dueMs
end
local function answerWith(kind, dueMs)
  local answer = answersByKind[kind][dueMs]
  if not answer then
    answer = kind .. born .. dueMs - bornMs
    answersByKind[kind][dueMs], scoreByDueMs[dueMs] = answer, dueMs .. "000"
  end
  return answer
end
local function setAll(kind, ids, bodies, first, last, dueMs)
  local answer = answerWith(kind, dueMs)
  local head, score, count = answer .. " ", scoreByDueMs[dueMs], #scored
  for index = first, last do
    local id = ids[index]
    scored[count + 1], scored[count + 2] = score, id
    recorded[count + 1], recorded[count + 2] = id, head .. bodies[index]
    count = count + 2
  end
  earliestMs = math.min(earliestMs, dueMs)
  return answer
end
local function set(kind, id, dueMs, body)
  if kind ~= "f" then
    return setAll(kind, { id }, { body }, 1, 1, dueMs)
  end
  local answer, count = answerWith(kind, dueMs), #followed
  followed[count + 1], followed[count + 2] = id, dueMs .. " " .. answer .. " " .. body
  return answer
end
local function rearrange(id, score, when, body)
  local operation = operationIn(body)
  local record, following = redis.call("HGET", data, id), redis.call("HGET", later, id)
  local answer, of = answerAndOperation(record)
  local nextMs, next = dueMsAndRecord(following)
  local nextAnswer, nextOf = answerAndOperation(next)
  if of == operation then
    return answer
  elseif nextOf == operation then
    return nextAnswer
  end
  local leased, rival, rivalMs = isLease(score), record, tonumber(score) / 1000
  if leased then
    rival, rivalMs, answer = next, tonumber(nextMs), nextAnswer
  end
  local mode, dueMs = string.sub(when, 1, 1), dueMsOf(when)
  if rival and (mode == "k" or (mode == "e" and dueMs >= rivalMs)) then
    if not answer then
      return "u"
    end
    local offsetMs = rivalMs - math.floor(generationOf(answer) / 1000)
    local kept = "k" .. string.sub(answer, 2, 11) .. string.format("%.0f", offsetMs)
    memorize("s" .. operation .. " " .. id, kept)
    return kept
  end
  if rival then
    keepAnswer(id, rival)
  end
  if next and not leased then
    keepAnswer(id, next)
  end
  if leased then
    return set("f", id, dueMs, body)
  end
  unnoted[#unnoted + 1] = id
  return set("r", id, dueMs, body)
end
local function write()
  if #unnoted > 0 then
    redis.call("HDEL", notes, unpack(unnoted))
    redis.call("HDEL", later, unpack(unnoted))
  end
  if #scored > 0 then
    redis.call("HSET", data, unpack(recorded))
    redis.call("ZADD", due, unpack(scored))
  end
  if #followed > 0 then
    redis.call("HSET", later, unpack(followed))
    redis.call("HDEL", state, "plain")
  end
  if #scored + #followed > 0 then
    redis.call("HSET", state, "floor", generation)
  end
  remember()
end
local ids, bodies, runs = {}, {}, {}
local at, count = itemsAt, 0
while ARGV[at] do
  local size = tonumber(ARGV[at + 1])
  runs[#runs + 1] = { ARGV[at], count + 1, count + size }
  for itemAt = at + 2, at + size * 2, 2 do
    count = count + 1
    ids[count], bodies[count] = ARGV[itemAt], ARGV[itemAt + 1]
  end
  at = at + 2 + size * 2
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local marks = recallMarks(ids)
local fields, fieldsAt = {}, {}
for index = 1, count do
  if scores[index] or marks[index] then
    local id = ids[index]
    fieldsAt[index] = #fields + 1
    fields[#fields + 1] = "x" .. id
    fields[#fields + 1] = "s" .. operationIn(bodies[index]) .. " " .. id
  end
end
local remembered = recall(fields)
local head = redis.call("ZRANGE", due, 0, 0, "WITHSCORES")
local room = pendingMax > 0 and pendingMax - redis.call("ZCARD", due) or math.huge
local askedUs = math.max(sentUs, knownUs)
if askedUs > nowUs + 1000 then
  askedUs = 0
end
local answers = {}
local function say(answer, times)
  local last = #answers
  if answers[last - 1] == answer then
    answers[last] = answers[last] + times
  else
    answers[last + 1], answers[last + 2] = answer, times
  end
end
local function decide(index, when)
  local id, body, mark = ids[index], bodies[index], marks[index]
  local fieldAt = fieldsAt[index]
  local cancelled = fieldAt and remembered[fieldAt]
  local answered = fieldAt and (remembered[fieldAt + 1] or answerInMark(mark, operationIn(body)))
  if answered then
    return answered
  elseif cancelled and tonumber(cancelled) > askedUs then
    if tonumber(cancelled) > nowUs then
      memorize("x" .. id, nowText)
      memorize("i" .. id, mark or nowText)
    end
    return "x" .. cancelled
  elseif dueMsOf(when) - nowMs > delayMaxMs then
    return "d"
  elseif scores[index] then
    return rearrange(id, scores[index], when, body)
  elseif room <= 0 then
    return "p"
  end
  room = room - 1
  keepMark(id, mark)
  return set("s", id, dueMsOf(when), body)
end
local function newFrom(first, last, when)
  local most = dueMsOf(when) - nowMs > delayMaxMs and 0 or math.min(last - first + 1, room)
  local size = #fields == 0 and most or 0
  while size < most and not fieldsAt[first + size] do
    size = size + 1
  end
  return size
end
for _, run in ipairs(runs) do
  local when, index, last = run[1], run[2], run[3]
  while index <= last do
    local size = newFrom(index, last, when)
    if size > 0 then
      room = room - size
      say(setAll("s", ids, bodies, index, index + size - 1, dueMsOf(when)), size)
    else
      size = 1
      say(decide(index, when), 1)
    end
    index = index + size
  end
end
write()
if earliestMs < math.huge and (not head[2] or earliestMs * 1000 < tonumber(head[2])) then
  redis.pcall(publish, wake, string.format("%.0f", earliestMs))
end
return { "scheduled", nowText, answers }
` as string,
} as const;

/** Ends firings that claim cannot end in passing: retries, gives back, buries, and acknowledges what was extended, cancelled or rescheduled meanwhile. Each item proves its lease by its end or, once extended, by its token (T3). */
export const settle = {
  name: "timer.settle",
  keys: ["due", "data", "notes", "later", "state", "memoryA", "memoryB", "dead", "deadData", "wake"],
  args: ["layout", "notAfterUs", "publish"],
  rest: "items",
  replies: ["layout", "too-late", "settled"],
  sha1: "1a3bd4df8c8eb47f739ab4b1bd37d6e1b44ee40a" as string,
  source: `local due, data, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local memoryA, memoryB, dead, deadData, wake = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local layout, notAfterUs, publish = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local itemsAt = 4
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local keepUs = tonumber(shard[6])
local inUse, atRest = memoryA, memoryB
if shard[4] == "B" then
  inUse, atRest = memoryB, memoryA
end
local memorized, memorizedCount = {}, 0
local function memorize(field, value)
  memorized[memorizedCount + 1], memorized[memorizedCount + 2] = field, value
  memorizedCount = memorizedCount + 2
end
local function recall(fields)
  if #fields == 0 then
    return {}
  end
  local found, older = redis.call("HMGET", inUse, unpack(fields)), nil
  for index = 1, #fields do
    if not found[index] then
      older = older or redis.call("HMGET", atRest, unpack(fields))
      found[index] = older[index]
    end
  end
  return found
end
local function recallMarks(ids)
  if redis.call("EXISTS", inUse, atRest) == 0 then
    return {}
  end
  local fields = {}
  for index = 1, #ids do
    fields[index] = "i" .. ids[index]
  end
  return recall(fields)
end
local timeEnd = 16
local function answerInMark(mark, operation)
  if not mark or #mark == timeEnd then
    return nil
  end
  local space = string.find(mark, " ", timeEnd + 2, true)
  if string.sub(mark, space + 1) == operation then
    return string.sub(mark, timeEnd + 2, space - 1)
  end
end
local function keepMark(id, mark)
  if mark and #mark > timeEnd then
    local space = string.find(mark, " ", timeEnd + 2, true)
    memorize("s" .. string.sub(mark, space + 1) .. " " .. id, string.sub(mark, timeEnd + 2, space - 1))
  end
end
local function remember()
  if #memorized == 0 then
    return
  end
  local ageUs = nowUs - tonumber(shard[5])
  if ageUs >= keepUs then
    inUse, atRest = atRest, inUse
    redis.call("UNLINK", inUse)
    redis.call("HSET", state, "side", inUse == memoryA and "A" or "B", "sideUs", nowText, "restUs", shard[5])
  elseif ageUs < 0 then
    redis.call("HSET", state, "sideUs", nowText)
  end
  local added = redis.call("HSET", inUse, unpack(memorized))
  if ageUs >= keepUs or (added * 2 == memorizedCount and redis.call("HLEN", inUse) == added) then
    redis.call("PEXPIRE", inUse, string.format("%.0f", keepUs * 3 / 1000))
  end
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local function answerAndOperation(record)
  return string.match(record or "", "^([srf]%w%w%w%w%w%w%w%w%w%w%-?%d+) (%S+) ")
end
local function generationOf(answer)
  return tonumber(string.sub(answer, 2, 11), 36)
end
local function dueMsAndRecord(following)
  return string.match(following or "", "^(%d+) (.*)$")
end
local function operationIn(body)
  return string.sub(body, 1, string.find(body, " ", 1, true) - 1)
end
local function keepAnswer(id, record)
  local answer, operation = answerAndOperation(record)
  if answer then
    memorize("s" .. operation .. " " .. id, answer)
  end
end
local removed, installedScores, installedRecords, followedIds = {}, {}, {}, {}, {}
local function conclude(id, record, following)
  local dueMs, nextRecord = dueMsAndRecord(following)
  if not nextRecord then
    local answer, operation = answerAndOperation(record)
    memorize("i" .. id, answer and nowText .. " " .. answer .. " " .. operation or nowText)
    removed[#removed + 1] = id
    return
  end
  if record then
    keepAnswer(id, record)
  end
  local count = #installedScores
  installedScores[count + 1] = dueMs .. "000"
  installedScores[count + 2] = id
  installedRecords[count + 1] = id
  installedRecords[count + 2] = nextRecord
  followedIds[#followedIds + 1] = id
end
local function writeEnds()
  if #removed > 0 then
    redis.call("ZREM", due, unpack(removed))
    redis.call("HDEL", data, unpack(removed))
    redis.call("HDEL", notes, unpack(removed))
  end
  if #followedIds > 0 then
    redis.call("HDEL", later, unpack(followedIds))
    redis.call("HDEL", notes, unpack(followedIds))
    redis.call("ZADD", due, unpack(installedScores))
    redis.call("HSET", data, unpack(installedRecords))
  end
end
local buried, epitaphs = {}, {}
local function bury(id, record, attempts, error)
  local count = #buried
  buried[count + 1] = nowText
  buried[count + 2] = id
  epitaphs[count + 1] = id
  epitaphs[count + 2] = attempts .. " " .. #error .. " " .. error .. (record or "")
end
local function writeBurials()
  if #buried > 0 then
    redis.call("ZADD", dead, unpack(buried))
    redis.call("HSET", deadData, unpack(epitaphs))
  end
end
local ids, fields = {}, {}
for at = itemsAt, #ARGV, 7 do
  ids[#ids + 1] = ARGV[at]
  fields[#fields + 1] = "e" .. ARGV[at + 3] .. " " .. ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local noted = redis.call("HMGET", notes, unpack(ids))
local records = redis.call("HMGET", data, unpack(ids))
local followings = redis.call("HMGET", later, unpack(ids))
local answers = recall(fields)
redis.call("ZCARD", dead)
redis.call("HLEN", deadData)
local leased = tonumber(shard[3])
local rescored, renoted = {}, {}
for index, id in ipairs(ids) do
  local at = itemsAt + (index - 1) * 7
  local leaseEnd, token, verb, attempts, detail = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local score, note = scores[index], noted[index]
  if answers[index] then
  elseif not isLease(score) or (score ~= leaseEnd and tokenOf(note) ~= token) then
    answers[index] = "lost"
  else
    leased = leased - 1
    if verb == "done" or isCancelled(note) then
      answers[index] = "ended"
      conclude(id, records[index], followings[index])
    elseif verb == "dead" then
      answers[index] = "dead"
      bury(id, records[index], attempts, detail)
      conclude(id, records[index], followings[index])
    else
      answers[index] = "pending"
      local delayMs = verb == "retry" and tonumber(detail) or 0
      local atMs = verb == "retry" and math.ceil(nowUs / 1000) + delayMs or math.floor(nowUs / 1000)
      rescored[#rescored + 1] = string.format("%.0f", atMs * 1000)
      rescored[#rescored + 1] = id
      renoted[#renoted + 1] = id
      renoted[#renoted + 1] = makeNote(tonumber(attempts), isSuspect(note) and verb == "release", false, "")
    end
    memorize(fields[index], answers[index])
  end
end
if #memorized == 0 then
  return { "settled", nowText, answers }
end
redis.call("HDEL", state, "plain")
writeEnds()
writeBurials()
if #rescored > 0 then
  redis.call("ZADD", due, unpack(rescored))
  redis.call("HSET", notes, unpack(renoted))
end
redis.call("HSET", state, "leased", string.format("%.0f", leased))
remember()
local againUs = math.huge
for _, scores in ipairs({ rescored, installedScores }) do
  for at = 1, #scores, 2 do
    againUs = math.min(againUs, tonumber(scores[at]))
  end
end
if againUs < math.huge then
  redis.pcall(publish, wake, string.format("%.0f", againUs / 1000))
end
return { "settled", nowText, answers }
` as string,
} as const;

/** Counts the timers of a shard, in logarithmic time. */
export const stats = {
  name: "timer.stats",
  keys: ["due", "state", "dead"],
  args: ["layout"],
  rest: null,
  replies: ["layout", "stats"],
  sha1: "10b745ef2e82ad5ed7a0e3f795aa5fe16e72da4d" as string,
  source: `local due, state, dead = KEYS[1], KEYS[2], KEYS[3]
local layout = ARGV[1]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local first = redis.call("ZRANGE", due, 0, 0, "WITHSCORES")[2] or ""
return {
  "stats",
  nowText,
  redis.call("ZCARD", due),
  shard[3],
  redis.call("ZCOUNT", due, "-inf", nowText),
  redis.call("ZCARD", dead),
  first,
}
` as string,
} as const;

/** Takes over what was packed in another shard, each item at most once. A shard of which a failover took back that it was given up is sealed without waiting for anybody, so a lease may be among it. What such a shard had of a timer yields to how far it has come elsewhere, and a dead letter to a later one. */
export const store = {
  name: "timer.store",
  keys: ["index", "bodies", "notes", "later", "state"],
  args: ["layout", "notAfterUs", "part"],
  rest: "items",
  replies: ["layout", "too-late", "stored"],
  sha1: "dca4f069e61426a1fb6b6bb63314d7734b6d946b" as string,
  source: `local index, bodies, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, part = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local itemsAt = 4
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
local function isLease(score)
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end
local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end
local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end
local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end
local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end
local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end
local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
local function progressOf(body, following, note)
  local next = string.match(following, "^%d+ %a(%w%w%w%w%w%w%w%w%w%w)") or "0000000000"
  return string.sub(body, 2, 11) .. next .. string.sub(note, 1, 5)
end
local leased = tonumber(shard[3])
redis.call("HLEN", bodies)
redis.call("HLEN", notes)
redis.call("HLEN", later)
for at = itemsAt, #ARGV, 5 do
  local id, score, body, note, following = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local known = redis.call("ZSCORE", index, id)
  local isNews = not known
  if known and part == "dead" then
    isNews = tonumber(score) > tonumber(known)
  elseif known then
    local kept = { redis.call("HGET", bodies, id), redis.call("HGET", later, id), redis.call("HGET", notes, id) }
    isNews = progressOf(body, following, note) > progressOf(kept[1] or "", kept[2] or "", kept[3] or "")
  end
  if isNews and part == "due" then
    redis.call("HDEL", notes, id)
    redis.call("HDEL", later, id)
    if isLease(known) then
      leased = leased - 1
    end
    if isLease(score) then
      leased = leased + 1
      redis.call("HDEL", state, "endsUs")
    end
  end
  if isNews then
    redis.call("ZADD", index, score, id)
    redis.call("HSET", bodies, id, body)
    if note ~= "" then
      redis.call("HSET", notes, id, note)
    end
    if following ~= "" then
      redis.call("HSET", later, id, following)
    end
    if note .. following ~= "" then
      redis.call("HDEL", state, "plain")
    end
  end
end
redis.call("HSET", state, "leased", string.format("%.0f", leased))
return { "stored", nowText }
` as string,
} as const;
