--[[
unlist: takes a key out of the index of unfinished keys. Frees memory, so that what a script writes after it is allowed when memory is out
(K3).

Needs
  recovering, held, member  from KEYS and ARGV
  rule                      what the record says of a dead attempt: recover, hold, or false when the record is lost
]]
if rule ~= "hold" then
  redis.call("ZREM", recovering, member)
end
if rule ~= "recover" then
  redis.call("ZREM", held, member)
end
