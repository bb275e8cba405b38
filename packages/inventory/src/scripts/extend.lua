--[[
extend: lets live holds last longer, each at most once per operation. An end is never moved forward.

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
  expireMax    most holds ended in passing
  linesMax     about how many lines of them
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
local expireMax, linesMax, operation, bornMs = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local reservation, holdMs = ARGV[9], ARGV[10]
-- @include time
-- @include bound
local wanted = {}
-- @include shelf
-- @include holds
-- @include expiry
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
-- @include write
return reply
