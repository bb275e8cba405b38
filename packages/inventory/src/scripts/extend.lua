--[[
extend: lets live holds last longer, each at most once per operation. An end is never made earlier, but where the clock that it was set by
has gone back since: then the hold lasts its length from now, or what is asked for (K8).

KEYS
  stock     HASH    counters and what the location remembers of itself (see shelf)
  recordsA  HASH    id → record (see holds); that of an extension: "te" and time in ms, end of the hold, reservation, holdMs
  recordsB  HASH    the same, in turn
  due       ZSET    id of a live hold → its end in ms
  log       STREAM  movements
ARGV
  layout       format and number of buckets, each with a colon behind
  notAfterUs   bound in server time (K1)
  keepMs       how long a record is kept at least
  rememberMs   for how long it answers
  expireMax    most holds ended in passing, and about ten times as many of their lines
  operation    id of the extension
  bornMs       time that it carries, or 0
  reservation  id of the reservation
  holdMs       length from now
REPLIES
  {"form", form}         the location is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  {"forgotten"}          the id is older than what is remembered
  {"known", record}      what the id was used for before
  {"extended", endMs, lapsed}
  {"ended", record, lapsed}  the reservation is not held; empty when there is none
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, operation, bornMs = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local reservation, holdMs = ARGV[8], ARGV[9]
-- @include time
-- @include bound
local wanted = {}
-- @include shelf
-- @include holds
-- @include expiry
local found = records({ operation, reservation }, 1, 2)
local known, record = fresh[operation] or found[1], fresh[reservation] or found[2]
local forgotten = false
if known then
  forgotten = string.sub(known, 1, 1) ~= "h" and nowMs - string.sub(known, 3, 15) > rememberMs
elseif bornMs > 0 then
  local agedMs = nowMs - bornMs
  -- @include old
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
  -- The record is as old as the end is.
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
-- @include write
return reply
