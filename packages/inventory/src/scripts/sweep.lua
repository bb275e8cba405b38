--[[
sweep: returns due holds, and shortens those that a clock which went back has made longer than they were asked for (K8).

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
  expireMax   most holds ended at a time, and about ten times as many of their lines
  holdMs      length of a usual hold: those that end later are looked at
  lateSkip    how many of them are passed over: the sweeps before have looked at them
REPLIES
  {"form", form}         the location is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  {"swept", now, lapsed, left, nextMs, looked, shortened}  left is "1" when due holds are still unreturned; nextMs the next end of a
                         hold, empty for none; how many late ones were looked at, and how many of them shortened
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local expireMax, holdMs, lateSkip = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
-- @include time
-- @include bound
local wanted = {}
-- @include shelf
-- @include holds
-- @include expiry
if bad then
  return { "bad-stock", bad }
end
local lateText = string.format("%.0f", nowMs + 1 + holdMs + 1)
local late = redis.call("ZRANGE", due, lateText, "+inf", "BYSCORE", "LIMIT", lateSkip, expireMax)
local found, shortened = records(late, 1, #late), 0
for at, id in ipairs(late) do
  local record = found[at]
  if record and string.sub(record, 1, 2) == "hv" then
    -- The end was set at the last change of the record; a later one than the length from there does not exist.
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
  -- A turn is due even when nothing changes: what is forgotten frees its memory.
  nextBefore = nil
end
-- @include write
local nextText = nextMs < math.huge and string.format("%.0f", nextMs) or ""
return { "swept", nowText, lapsed, dueLeft and "1" or "0", nextText, #late, shortened }
