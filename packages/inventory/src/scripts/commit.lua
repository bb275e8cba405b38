--[[
commit: stores how far a consumer of the log has come, and cuts off what all consumers have behind them; the last consumed movement
stays, so that the next reader can tell whether the log is still the one it knows (V6). Safe to repeat and to run late.

KEYS
  stock      HASH    what the location remembers of itself (see shelf)
  log        STREAM  movements
  positions  HASH    consumer → sequence, a space, stamp
ARGV
  notAfterUs  bound in server time (K1)
  consumer    its name
  sequence    how far it has come
  stamp       stamp of that position
  known       how that movement begins: kind, time, id; empty when the position is before the first one
  mode        "f" forward only, "r" anywhere (reset), "d" forget the consumer
  was         for r and d: its position as the caller has read it, empty for none. When it has another one it was moved since, and a
              request that comes late again would undo that
  trimMax     about how many movements are cut off at a time
REPLIES
  {"too-late", now}
  {"committed", position, more}  more is "1" when there may be more to cut off: commit the same again
  {"behind", position}    another process has come further, or moved it since; nothing was done
  {"elsewhere", form, found, next}  the log does not have that movement: what it has under its number, or nothing, and the number of the
                         next one it has, empty for none
]]
local stock, log, positions = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, consumer, sequence, stamp = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local known, mode, was, trimMax = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
-- @include time
-- @include bound
local position = redis.call("HGET", positions, consumer)
local target = mode == "d" and "" or sequence .. " " .. stamp
local ahead = mode == "f" and position and tonumber(string.match(position, "^%d+ ") or 0) > tonumber(sequence)
if ahead or mode ~= "f" and (position or "") ~= was and (position or "") ~= target then
  return { "behind", position or "0 " }
end
local found = redis.call("XRANGE", log, "0-" .. sequence, "+", "COUNT", 1)[1]
local next = found and string.sub(found[1], 3) or ""
local entry = next == sequence and found[2][2] or ""
if mode ~= "d" and known ~= "" and string.sub(entry, 1, #known) ~= known then
  return { "elsewhere", redis.call("HGET", stock, "#form") or "", entry, next }
end
-- A position that is none keeps the whole log: what its consumer has read is not known.
local slowest, cut, all = mode == "d" and math.huge or tonumber(sequence), 0, redis.call("HGETALL", positions)
for at = 1, #all, 2 do
  if all[at] ~= consumer then
    slowest = math.min(slowest, tonumber(string.match(all[at + 1], "^%d+ ") or 0))
  end
end
-- What frees memory comes first: a log that may be cut off is what memory ran out for.
if slowest < math.huge then
  cut = redis.call("XTRIM", log, "MINID", "~", "0-" .. string.format("%.0f", slowest), "LIMIT", trimMax)
end
if mode == "d" then
  redis.call("HDEL", positions, consumer)
else
  redis.call("HSET", positions, consumer, target)
end
-- Whole nodes are cut off, a hundred movements or less each, so the bound is never quite met.
return { "committed", sequence .. " " .. stamp, cut * 2 > trimMax and "1" or "0" }
