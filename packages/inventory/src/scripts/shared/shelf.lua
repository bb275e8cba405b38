--[[
shelf: the stock in hand of one script. Reads what the bucket remembers of itself together with the counters that the script names, and
collects what is to be written, so that everything is checked before anything is written (K3). `write` ends what is begun here.

Fields of `stock`, whose skus are escaped and hold neither "#" nor spaces:
  sku, "r#" sku       available, reserved; onHand is their sum
  "n#" sku            of a spread sku: what has come from other buckets less what has gone to them, below 0 when more went
  "#form"             format, number of buckets, time of founding
  "#next"             earliest end of a hold in ms, "" for none: spares the hot path a look at `due`
  "#side"             which of the two hashes of records is in use, and since when in ms; in lower case while nothing is at rest yet
  "#before"           since when the hash at rest has what was recorded, in ms: what was recorded before that was thrown away
  "#atRest"           live holds whose record is in the hash at rest, which is emptied only when there are none (V8); looked up when it
                      matters: nearly all live holds have their record in the hash in use

Needs
  stock, recordsA, recordsB, due, layout, keepMs, nowText
  wanted  fields of counters
Gives
  unpack, nowMs, nowMsText
  control                 what was read: the fields of the bucket itself as texts, then the counters by their place in `wanted`
  side, sinceMs           which hash of records is in use, since when
  current, rest           the one in use and the one at rest, as the script found them
  turned, into            whether their turn has come; the hash that is written to, emptied before when it has
  only                    whether all that is remembered is in `current`. What the other hash has when the turn comes is over, and older
                          than what came after it: it is not looked at any more
  liveAtRest, liveBefore  live holds whose record is in the hash at rest, now and as it is stored; false as long as nobody had to know
  value                   counters by field; those that differ from `control` are written
  bad                     a field that is no counter, or false; only "n#" fields go below 0
  entries, kept, held, freed  to be written: movements; id and record in turn; end and id of holds in turn; ids of ended holds
  nextMs                  the earliest end of a hold
  fresh, atRest  see holds; lapsed, dueLeft  see expiry

A script makes all its tables and functions anew each time it runs, so the hot path has few of either, and tables with room for what one
order puts into them: one that grows is made again. What is text stays text, and a number becomes text at most once.
]]
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
  -- No more of them can be at rest than there are.
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
