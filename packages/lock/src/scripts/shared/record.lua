--[[
record: reads and writes the lease, a text of fixed width so that fields are cut out by position.

  1      format, "1"
  2-17   token of the last grant, kept after its release; zeros when there was none
  18-33  end of the lease in microseconds; zeros when it was released
  34-41  length of the lease in ms
  42-49  how long others are kept out when it ends without a release, in ms
  50     "q" when waiters or sealed owners may exist, "-" when nobody needs to look
  51-    owner: who holds it, or held it last

Needs
  lease, nowUs
  retentionMs  how long the key outlives token and lease (K5); not needed to read
Gives
  stored                    the record, or false
  newerFormat               its format when this version cannot read it, or false
  token, endUs, lengthMs, terms, delayUs, flag, holder   its fields; terms are length and delay as they stand
  write(number, untilUs, newTerms, newFlag, owner)       stores a record
]]
local stored = redis.call("GET", lease)
local newerFormat = false
local token, endUs, lengthMs, terms, delayUs, flag, holder = false, 0, 0, "0000000000000000", 0, "-", ""
if stored then
  newerFormat = string.sub(stored, 1, 1) ~= "1" and string.sub(stored, 1, 8)
  token = string.sub(stored, 2, 17)
  endUs = tonumber(string.sub(stored, 18, 33)) or 0
  terms = string.sub(stored, 34, 49)
  lengthMs = tonumber(string.sub(terms, 1, 8)) or 0
  delayUs = (tonumber(string.sub(terms, 9, 16)) or 0) * 1000
  flag = string.sub(stored, 50, 50)
  holder = string.sub(stored, 51)
end

local function write(number, untilUs, newTerms, newFlag, owner)
  local value = "1" .. number .. string.format("%016.0f", untilUs) .. newTerms .. newFlag .. owner
  local keepUs = math.max(tonumber(number), untilUs, nowUs)
  local expiresAtMs = string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs)
  local reply = redis.pcall("SET", lease, value, "PXAT", expiresAtMs)
  if reply.err then
    -- Memory is out: a renewal or release of what is there passes after a first write that needs none (K3).
    if stored then
      redis.call("PEXPIREAT", lease, expiresAtMs)
    end
    redis.call("SET", lease, value, "PXAT", expiresAtMs)
  end
end
