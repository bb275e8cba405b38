--[[
prolong: writes a record whose lease counts from now on. A change of its expiry comes first: that is allowed when memory is out, and what
follows it is then allowed, too (K3).

Needs
  nowText, packRecord, touched, keptUntil
  record       its key
  stored       its fields
  retentionMs  how long it is remembered after its lease
]]
stored.leased = nowText
local keepMs = math.floor(stored.length / 1000) + retentionMs
redis.call("PEXPIREAT", record, keptUntil(record, stored.token, touched(stored.number, stored.operations), keepMs))
if stored.rule == "hold" then
  redis.call("SET", record, packRecord(stored))
else
  redis.call("SET", record, packRecord(stored), "KEEPTTL")
end
