--[[
old: whether an id that is not known may have been carried out all the same: it is older than what is remembered (V8). That is a matter of
rememberMs and, where this was shorter before, of what was thrown away since: an id that was made before the turn before the last one.

Needs
  the names of shelf; stock, keepMs; rememberMs; agedMs, the age of an id that carries its time
Gives
  old  true or false
]]
local old = agedMs > tonumber(rememberMs)
if not old and not only and agedMs > nowMs - sinceMs then
  -- The clock that made the id may have been ahead by as much as records are kept longer than they answer.
  local beforeMs = tonumber(redis.call("HGET", stock, "#before") or 0)
  old = nowMs - agedMs < beforeMs + keepMs - rememberMs
end
