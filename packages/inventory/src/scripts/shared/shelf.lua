--[[
shelf: the stock in hand of one script. Reads what the bucket remembers of itself together with the counters that the script names, and
collects what is to be written, so that everything is checked before anything is written (K3). `write` ends what is begun here.

Fields of `stock`, whose skus are escaped and hold neither "#" nor spaces:
  sku, "r#" sku       available, reserved; onHand is their sum
  "#form"             format, number of buckets, time of founding
  "#next"             earliest end of a hold in ms, "" for none: spares the hot path a look at `due`
  "#side"             which of the two hashes of records is in use, and since when in ms; in lower case while nothing is at rest yet
  "#liveA", "#liveB"  live holds by the hash that has their record: a hash is emptied only when there are none (V8)

Needs
  stock, recordsA, recordsB, layout, keepMs, nowText
  wanted  fields of counters
Gives
  unpack, nowMs, nowMsText
  control                 what was read: the fields of the bucket itself as texts, then the counters by their place in `wanted`
  side, resting, current, rest  the hash in use and the one at rest; when their turn has come they have changed places here (turned)
  alone                   whether there is nothing at rest
  liveHere, liveThere     live holds whose record is in the hash in use, in the one at rest
  value                   counters by field; those that differ from `control` are written
  bad                     a field that is no counter, or false
  entries, kept, held, freed  to be written: movements; id and record in turn; end and id of holds in turn; ids of ended holds
  nextMs                  the earliest end of a hold
  fresh, placeOf  see holds; lapsed, dueLeft  see expiry

A script makes all its tables and functions anew each time it runs, so the hot path has few of either.
]]
local unpack = table.unpack or unpack
local nowMsText = string.sub(nowText, 1, 13)
local nowMs = (nowUs - nowUs % 1000) / 1000
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
local current, rest, liveHere, liveThere = recordsA, recordsB, control[4] or 0, control[5] or 0
if side == "B" then
  current, rest, liveHere, liveThere = rest, current, liveThere, liveHere
end
local turned = nowMs - sinceMs >= keepMs and tonumber(liveThere) == 0
if turned then
  side, resting, current, rest, liveHere, liveThere, alone = resting, side, rest, current, liveThere, liveHere, false
end
local nextMs = control[2] and tonumber(control[2]) or math.huge
local nextBefore, thereBefore = nextMs, liveThere

local value, bad = {}, false
for at = 1, #wanted do
  local count = tonumber(control[at + 5] or 0)
  if not count or count < 0 or count > 9007199254740991 or count % 1 ~= 0 then
    bad = wanted[at]
  end
  count = count or 0
  control[at + 5], value[wanted[at]] = count, count
end
local entries, kept, held, freed = {}, {}, {}, {}
local fresh, placeOf, lapsed, dueLeft = {}, {}, 0, false
