--[[
sync: one process tells how many permits it keeps and could use, and gets its share of what is free. The permits of a process are one
lease; when it ends, they are free for the others. No grant takes the sum of the leases over the limit (B7).

KEYS
  pods  HASH  process to "format end length token sequence held wanted limit", times in microseconds; "#token" to the last token; its
              name is also the channel of the hints
ARGV
  notAfterUs   bound in server time (K1)
  pod          random id of the process
  sequence     number of this request: a repeat gets the same permits, an older one nothing
  leaseUs      length of the lease
  limit        permits in all, as this process was told; the lowest of the live ones counts
  keep         permits it keeps of those it holds
  used         permits in use: they count although its lease has ended
  wanted       permits it could use, those in use included
  podsMax      most live processes: the bound of all loops
  retentionMs  how long the last token outlives itself as a time
  publish      PUBLISH or SPUBLISH
REPLIES
  {"granted", token, held, share, pods}  what it holds now, what is its fair share, live processes
  {"stale"}                              nothing was done: a younger request of this process came before
  {"crowded", podsMax}                   there are too many processes
  {"newer-format", format}               a record is of a newer version
  {"too-late", nowText}                nothing was done
]]
local pods = KEYS[1]
local notAfterUs, pod, sequence, leaseUs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local limit, keep, used, wanted = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local podsMax, retentionMs, publish = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11]

local unpack = table.unpack or unpack
-- @include time
-- @include bound
-- @include token
local told = limit
local stored = redis.call("HGETALL", pods)
-- @include processes
if newerFormat then
  return { "newer-format", newerFormat }
end
-- A newcomer is refused before he is written, so that the records stay this few; those who are in go on, and the dead make room.
if not own and #live >= podsMax then
  return { "crowded", podsMax }
end
if own and own.sequence > sequence then
  return { "stale" }
end

local before = own and own.held or 0
local repeated = own and own.sequence == sequence
local mine = { id = pod, ends = nowUs + leaseUs, length = leaseUs, sequence = sequence, limit = told }
mine.token = own and own.token or nextToken(lastToken)
mine.wanted = math.max(wanted, used)
mine.held = repeated and before or own and math.max(used, math.min(keep, before)) or used
live[#live + 1] = mine
-- @include fair-shares
if not repeated then
  local free = limit - othersHeld - mine.held
  mine.held = mine.held + math.max(0, math.min(mine.share - mine.held, free))
end

if #dead > 0 then
  redis.call("HDEL", pods, unpack(dead))
end
for _, entry in ipairs(clamped) do
  redis.call("HSET", pods, entry.id, record(entry))
end
local newest = (lastToken and lastToken > mine.token) and lastToken or mine.token
redis.call("HSET", pods, pod, record(mine), "#token", newest)
local expiresMs = math.floor(math.max(nowUs, tonumber(newest)) / 1000) + retentionMs
redis.call("PEXPIREAT", pods, string.format("%.0f", expiresMs))
-- Whoever has enough looks what he can give; whoever waits takes what came free. Those who wait do not wake each other.
if mine.held < mine.share or (not own and othersHeld + mine.held > limit) then
  redis.pcall(publish, pods, "give " .. pod)
end
local starving = false
for _, entry in ipairs(live) do
  starving = starving or (entry ~= mine and entry.held < entry.share)
end
if starving and (before > mine.held or #dead > 0) then
  redis.pcall(publish, pods, "take " .. pod)
end
return { "granted", mine.token, mine.held, mine.share, #live }
