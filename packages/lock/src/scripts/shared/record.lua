--[[
record: reads and writes the lease, a text of fixed width so that fields are cut out by position.

  1      format, "1"
  2-17   token of the last grant, kept after its release; zeros when there was none
  18-33  when the lease was granted or renewed, in microseconds; zeros when it was released
  34-41  length of the lease in ms
  42-49  how long others are kept out when it ends without a release, in ms
  50     "q" when waiters or sealed owners may exist, "-" when nobody needs to look
  51-    owner: who holds it, or held it last; "!" and an operation id when that released it by force

Needs
  lease, nowUs, nowText
  retentionMs  how long the key outlives token, lease and delay (K5); not needed to read
Gives
  none, stored, newerFormat      sixteen zeros; the record or false; its format when this version cannot read it, or false
  token, since, terms, flag, holder   its fields; terms are length and delay, since is `none` when nobody holds it
  write(number, from, newTerms, newFlag, owner)   stores a record
]]
local none = "0000000000000000"
local stored = redis.call("GET", lease)
local newerFormat = false
local token, since, terms, flag, holder = false, none, none, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token, since = string.sub(stored, 2, 17), string.sub(stored, 18, 33)
  terms, flag, holder = string.sub(stored, 34, 49), string.sub(stored, 50, 50), string.sub(stored, 51)
end

local function write(number, from, newTerms, newFlag, owner)
  local value = "1" .. number .. from .. newTerms .. newFlag .. owner
  local unit, time = "PX", tonumber(string.sub(newTerms, 1, 8)) + tonumber(string.sub(newTerms, 9, 16)) + retentionMs
  if number > nowText then
    -- The clock is behind the token: the key waits until it has passed it (K5).
    unit, time = "PXAT", string.format("%.0f", math.ceil(number / 1000) + time)
  end
  if redis.pcall("SET", lease, value, unit, time).err then
    -- Memory is out: what has a record keeps its size, and is granted, renewed and released after a first write that needs none (K3).
    if stored then
      redis.call("PERSIST", lease)
    end
    redis.call("SET", lease, value, unit, time)
  end
end
