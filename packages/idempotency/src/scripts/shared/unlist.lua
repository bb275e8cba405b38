--[[
unlist: takes a key out of the index of unfinished keys. Frees memory, so that what a script writes after it is allowed when memory is out
(K3).

Needs
  record, recovering, held  from KEYS
  memberOf                  from record
  stored                    the fields of the record, or false when it is lost
]]
if not stored or stored.rule ~= "hold" then
  redis.call("ZREM", recovering, memberOf(record))
end
if not stored or stored.rule ~= "recover" then
  redis.call("ZREM", held, memberOf(record))
end
