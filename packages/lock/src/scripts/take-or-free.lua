--[[
take-or-free: takes free leases and frees held ones of many names in one step, where nobody waits: the usual case. Whatever is not usual is
left as it is and answered with "look"; acquire and release then decide. The requests do not depend on each other, so each has its guards
before its own write. Repeated or run late it grants to nobody who has given up: a sealed owner's record is flagged (L3).

KEYS
  leases...  STRING  the record that each request is about
ARGV
  notAfterUs   bound in server time (K1)
  newTerms     length of the lease and lock delay in ms, 8 digits each
  keepMs       how long a record outlives its grant: the length, the delay and the retention of its token
  requests...  "+" or "-", to take or to free it, and the owner
REPLIES
  "done outcomes..."  one for each request: the token, "freed", or "look"
  {"too-late", now}   nothing was done
]]
local notAfterUs, newTerms, keepMs = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local fixedArgs = 3

-- @include time
-- @include bound
local none, sub = "0000000000000000", string.sub
local outcomes = "done"
-- Neither functions nor tables: a script makes them anew whenever it runs, which is much of what one this short costs.
for index, lease in ipairs(KEYS) do
  local request, stored = ARGV[fixedArgs + index], redis.pcall("GET", lease)
  -- False where there is no record that this version can read.
  local since = type(stored) == "string" and sub(stored, 1, 1) == "1" and sub(stored, 18, 33)
  local outcome = "look"
  if sub(request, 1, 1) == "+" then
    local owner = sub(request, 2)
    -- "q": somebody waits. A token that the clock has not passed needs a longer life (K5); an owner that was here before has ended.
    if not stored or (since == none and sub(stored, 50, 50) ~= "q" and sub(stored, 2, 17) < nowText and sub(stored, 51) ~= owner) then
      local value = "1" .. nowText .. nowText .. newTerms .. "-" .. owner
      if not redis.pcall("SET", lease, value, "PX", keepMs).err then
        outcome = nowText
      end
    end
  elseif since and since ~= none and sub(stored, 50) == request then
    -- Flag and owner stand there as in the request: nobody waits, and who holds it asks.
    local value = sub(stored, 1, 17) .. none .. sub(stored, 34)
    if not redis.pcall("SET", lease, value, "KEEPTTL").err then
      outcome = "freed"
    end
  end
  outcomes = outcomes .. " " .. outcome
end
return outcomes
