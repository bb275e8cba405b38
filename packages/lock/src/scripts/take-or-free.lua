--[[
take-or-free: takes free leases and frees held ones of many names in one step, where nobody waits: the usual case. Whatever is not usual is
left as it is and answered with "look"; acquire and release then decide. The requests do not depend on each other, so each has its guards
before its own write. Repeated or run late it grants to nobody who has given up: a sealed owner's record is flagged (L3).

KEYS
  leases...  STRING  the record that each request is about
ARGV
  notAfterUs   bound in server time (K1)
  newTerms     length of the lease and lock delay in ms, 8 digits each
  keepMs       how long a record outlives its grant: the length and the retention of its token
  requests...  "+" or "-", to take or to free it, and the owner
REPLIES
  "done outcomes..."  one for each request: the token, "freed", or "look"
  {"too-late", now}   nothing was done
]]
local notAfterUs, newTerms, keepMs = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local fixedArgs = 3

-- @include time
-- @include bound
local none = "0000000000000000"

local function take(lease, stored, owner)
  if stored then
    local token, since, flag = string.sub(stored, 2, 17), string.sub(stored, 18, 33), string.sub(stored, 50, 50)
    if since ~= none or flag == "q" then
      return "look"
    end
    -- A token that the clock has not passed needs a longer life (K5); an owner that was here before has ended.
    if token >= nowText or string.sub(stored, 51) == owner then
      return "look"
    end
  end
  local value = "1" .. nowText .. nowText .. newTerms .. "-" .. owner
  return redis.pcall("SET", lease, value, "PX", keepMs).err and "look" or nowText
end

local function free(lease, stored, owner)
  if not stored or string.sub(stored, 18, 33) == none or string.sub(stored, 50) ~= "-" .. owner then
    return "look"
  end
  local value = string.sub(stored, 1, 17) .. none .. string.sub(stored, 34)
  return redis.pcall("SET", lease, value, "KEEPTTL").err and "look" or "freed"
end

local outcomes = { "done" }
for index, lease in ipairs(KEYS) do
  local request = ARGV[fixedArgs + index]
  local stored = redis.pcall("GET", lease)
  if stored and (type(stored) == "table" or string.sub(stored, 1, 1) ~= "1") then
    outcomes[index + 1] = "look"
  elseif string.sub(request, 1, 1) == "+" then
    outcomes[index + 1] = take(lease, stored, string.sub(request, 2))
  else
    outcomes[index + 1] = free(lease, stored, string.sub(request, 2))
  end
end
return table.concat(outcomes, " ")
