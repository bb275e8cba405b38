--[[
processes: reads the records of all processes and sorts them into the live and the dead.

Needs
  nowUs   from time
  stored  reply of HGETALL
  pod     this process
  limit   number, lowered to the least that a live process was told
Gives
  lastToken, own      the last token; this process while its lease lasts
  live, othersHeld    the others whose leases last, and what they hold together
  dead, clamped       ids whose leases have ended; entries whose end was moved
  newerFormat         the format of a record of a newer version, or nil
  record(entry)       the text of a record
]]
local pattern = "^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$"
local lastToken, own, newerFormat = false, nil, nil
local live, dead, clamped, othersHeld = {}, {}, {}, 0
for i = 1, #stored, 2 do
  local id, text = stored[i], stored[i + 1]
  if id == "#token" then
    lastToken = text
  else
    local format, ends, length, token, sequence, held, wanted, told = string.match(text, pattern)
    if format ~= "1" then
      newerFormat = string.match(text, "^%d+") or "?"
      break
    end
    local entry = { id = id, ends = tonumber(ends), length = tonumber(length), token = token, sequence = tonumber(sequence) }
    entry.held, entry.wanted, entry.limit = tonumber(held), tonumber(wanted), tonumber(told)
    -- The clock went back: the lease counts from now on (K8).
    if entry.ends - nowUs > entry.length then
      entry.ends = nowUs + entry.length
      clamped[#clamped + 1] = entry
    end
    if entry.ends <= nowUs then
      dead[#dead + 1] = id
    elseif id == pod then
      own = entry
    else
      live[#live + 1] = entry
      othersHeld = othersHeld + entry.held
      limit = math.min(limit, entry.limit)
    end
  end
end
local function record(entry)
  local numbers = string.format("%.0f %.0f %s %.0f", entry.ends, entry.length, entry.token, entry.sequence)
  return "1 " .. numbers .. string.format(" %.0f %.0f %.0f", entry.held, entry.wanted, entry.limit)
end
