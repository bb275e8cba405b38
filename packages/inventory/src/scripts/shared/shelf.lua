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
  unpack, nowMs, nowMsText, control
  side, resting, current, rest  the hash in use and the one at rest; when their turn has come they have changed places here (turned)
  alone                   whether there is nothing at rest
  live                    live holds by side
  value                   counters by field
  bad                     a field that is no counter, or false
  put(field, count)       sets a counter
  entries, kept, held, freed  to be written: movements; id and record in turn; end and id of holds in turn; ids of ended holds
  nextMs                  the earliest end of a hold
  fresh  see holds; lapsed, dueLeft  see expiry
]]
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
