--[[
claim: takes acknowledgements and leases due timers, as one request that is safe to repeat (K7).

Each timer of the batch gets the same token and the same end of lease; that pair identifies the lease. Leases that ended without an
answer are left to reap. Acknowledgements that are not plain (extended, cancelled, rescheduled or lost) are left to settle.

KEYS
  due      ZSET    timer id → deadline or end of lease in microseconds
  data     HASH    timer id → record
  notes    HASH    timer id → note (see lease)
  later    HASH    timer id → the generation that follows the running one
  state    HASH    what the shard remembers of itself
  memoryA  HASH    what has just ended
  memoryB  HASH    the same, in turn
ARGV
  layout      the form in which the client knows the shard
  notAfterUs  bound in server time
  lane        worker and lane
  sequence    number of the request in its lane; a repeat has the same and gets the same batch
  limit       most timers to lease
  leaseUs     length of a lease
  ackCount    number of acknowledgements
  acks...     runs of acknowledgements with the same end of lease: that end, their number, their ids, then the heads of their records,
              empty where a record cannot be read; no id twice
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"outrun", now}  a later request of this lane was executed
  {"claimed", now, token, leaseEnd, next, trouble, refused, ids, records, deadlines, notes}
       next: earliest deadline that is not due, now when there may be more, or ""; trouble: "", "lapsed" (leases that reap must see to),
       or "back" (so did the clock); refused: ids for settle; records, deadlines, notes: in the order of ids, deadlines and notes empty
       when nothing is noted, since the deadlines are those of the records then
  "claimed", now, token, leaseEnd, next, trouble, then id and record of each timer, as the lines of one text, which costs a fraction of
       that: when nothing was refused, nothing noted, no id or record has a line break of its own, and it is no longer than a client
       can take as one text
]]
local due, data, notes, later, state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local layout, notAfterUs, lane, sequence = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local limit, leaseUs, ackCount = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local acksAt = 8
-- @include time
-- @include bound
-- @include shard
-- @include token
-- @include memory
-- @include lease
-- @include acknowledgements
-- @include due-now

-- Who acknowledges more than these has met a burst, and meets it again. Between bursts, what is due and the next deadline are among them.
local fewMax = 3

-- Clients have a longest text (512 MB in Node.js), and large records gain nothing from being put together.
local linesMaxBytes = 1048576

-- The usual answer as lines, or false when it does not fit. Each text that Lua makes costs by its length, so it is put together once.
local function asLines(head, ids, records)
  local lines, count, bytes = { head }, 1, 0
  local lineBreak = string.find(table.concat(ids), "\n", 1, true)
  for index = 1, #ids do
    local record = records[index] or ""
    lines[count + 1], lines[count + 2] = ids[index], record
    count = count + 2
    bytes = bytes + #record
    lineBreak = lineBreak or string.find(record, "\n", 1, true)
  end
  return not lineBreak and bytes <= linesMaxBytes and table.concat(lines, "\n")
end

local trouble = tonumber(shard[2]) > nowUs + 1000000 and "back" or ""

-- The last request of this lane: its sequence, the token, the end of lease, what was refused, the batch, and its deadlines if they were
-- told, between bytes that no id has, since ids are UTF-8. Of a repeat's batch, what is leased as it was is given again; the rest has
-- lapsed and been taken over.
local earlier = recall({ "w" .. lane })[1]
local last = earlier and string.match(earlier, "^%d+")
if last and tonumber(last) > tonumber(sequence) then
  return { "outrun", nowText }
elseif last == sequence then
  local token, leaseEnd, refusals, batch, told = string.match(earlier, "^%d+ (%d*) (%d*) ([^\254]*)\254([^\254]*)\254(.*)$")
  local ids, deadlines = {}, {}
  for id in string.gmatch(refusals, "[^\255]+") do
    refused[#refused + 1] = id
  end
  local nextDeadline = string.gmatch(told, "[^\255]+")
  for id in string.gmatch(batch, "[^\255]+") do
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
  -- Refused. Once a freeing write was made, Redis lets the others pass when it is out of memory (K3): what is due still fires. This one
  -- deletes nothing, and is not made before it is needed.
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
local lists = table.concat({ table.concat(refused, "\255"), table.concat(ids, "\255"), table.concat(deadlines, "\255") }, "\254")
memorize("w" .. lane, table.concat({ sequence, token, leaseEnd, lists }, " "))
remember()
local isUsual = #ids > 0 and #refused == 0 and #noted == 0
local head = table.concat({ "claimed", nowText, token, leaseEnd, nextDue, trouble }, "\n")
return isUsual and asLines(head, ids, records)
  or { "claimed", nowText, token, leaseEnd, nextDue, trouble, refused, ids, records, deadlines, noted }
