--[[
seed: sets what is on hand, if nothing has moved since the caller looked: a stock-taking that cannot overwrite concurrent sales. Safe to
repeat and to run late.

KEYS
  stock     HASH    counters and what the location remembers of itself (see shelf)
  recordsA  HASH    id → record (see holds); that of a seed: "tz" and time in ms, content, then the number of the movement behind which
                    it stands, and how that movement begins
  recordsB  HASH    the same, in turn
  due       ZSET    id of a live hold → its end in ms
  log       STREAM  movements
ARGV
  layout      format and number of buckets, each with a colon behind
  notAfterUs  bound in server time (K1)
  keepMs      how long a record is kept at least
  rememberMs  for how long it answers
  expireMax   most holds ended in passing, and about ten times as many of their lines
  id          id of the operation
  bornMs      time that it carries, or 0
  content     mark of the content
  sequence    number of the movement after which nothing may have moved
  known       how that movement begins: kind, time, id
  lines...    sku and onHand in turn
REPLIES
  {"form", form}         the location is kept in another form
  {"bad-stock", field}   a counter is none, nothing was done
  {"too-late", now}
  {"forgotten"}          the id is older than what is remembered
  {"known", record, form}  what the id was used for before
  {"moved", form, head}  there are later movements, or other ones; head is the number of the newest one, a space, the movement
  {"below-reserved", sku, reserved, left}  less on hand than is reserved; nothing was done. left is "1" when due holds are still
                         unreturned
  {"overflow", sku}      there would be too much of it: 2^53 - 1 at most, a bucket takes in its share; nothing was done
  {"seeded", form, head}
]]
local stock, recordsA, recordsB, due, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, keepMs, rememberMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local expireMax, id, bornMs = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local content, sequence, known = ARGV[8], ARGV[9], ARGV[10]
local first = 11
-- @include time
-- @include bound
local wanted = {}
for at = first, #ARGV, 2 do
  wanted[#wanted + 1] = ARGV[at]
  wanted[#wanted + 1] = "r#" .. ARGV[at]
  wanted[#wanted + 1] = "n#" .. ARGV[at]
end
-- @include shelf
-- @include holds
-- @include expiry
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
  -- @include old
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
  -- A sku that was never there is known from now on, also with none on hand.
  control[(at - first) / 2 * 3 + 4] = false
end
if moved[1] then
  entries[#entries + 1] = "z" .. nowText .. " " .. id .. " # " .. table.concat(moved, " ")
end
-- Where it stands, so that a repeat goes on from there and not from what was sold since.
local newest, place = entries[#entries], string.match(head, "^%d+") + #entries
local start = newest and string.match(newest, "^%S+ %S+") or string.match(head, "^%d+ (%S+ %S+)") or ""
kept[#kept + 1] = id
kept[#kept + 1] = "tz" .. nowMsText .. " " .. content .. " " .. string.format("%.0f", place) .. " " .. start
-- @include write
return { "seeded", redis.call("HGET", stock, "#form"), headNow() }
