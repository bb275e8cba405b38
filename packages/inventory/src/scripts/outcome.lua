--[[
outcome: tells what became of an id, and seals one that is not known, so that a request which is still on its way cannot be carried out
after its id was read as absent (K1).

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
  rememberMs  for how long it answers
  expireMax   most holds ended in passing, and about ten times as many of their lines
  id          the id
  bornMs      time that it carries, or 0
  seal        "s" to seal it, "f" to say that bucket 0 decides it
REPLIES
  {"form", form}         the location is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  {"forgotten"}          the id is older than what is remembered
  {"known", now, record, lapsed}
  {"sealed", lapsed}     nothing was done under the id, and nothing will be; with "f" here
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, id, bornMs, seal = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), ARGV[8]
-- @include time
-- @include bound
local wanted = {}
-- @include shelf
-- @include holds
-- @include expiry
if bad then
  return { "bad-stock", bad }
end
local record = records({ id }, 1, 1)[1]
record = fresh[id] or record
local forgotten = false
if not record and bornMs > 0 then
  local agedMs = nowMs - bornMs
  -- @include old
  forgotten = old
end
if not record and not forgotten then
  kept[#kept + 1] = id
  kept[#kept + 1] = seal .. "-" .. nowMsText
end
-- @include write
if forgotten then
  return { "forgotten" }
elseif record then
  return { "known", nowText, record, lapsed }
end
return { "sealed", lapsed }
