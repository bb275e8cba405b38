--[[
confirm: confirms a reservation of settle's, as a whole or in part, or takes an expired one again if stock is left.

Needs
  the names of shelf, holds and expiry; final; id; hold, and its state, held or expired; request, and where the part to confirm begins in
  it (linesAt); operation
Gives
  answer  the letter of the answer
]]
local skus, whole, parts, exceeds = hold.skus, linesAt > #request, hold.counts, false
if not whole then
  local asked, left = {}, 0
  for sku, text in string.gmatch(string.sub(request, linesAt), "(%S+) (%S+)") do
    asked[sku], left = tonumber(text), left + 1
  end
  parts = {}
  for at = 1, #skus do
    local sku = skus[at]
    local part = asked[sku]
    exceeds = exceeds or part and not (part >= 1 and part <= tonumber(hold.counts[at]) and part % 1 == 0)
    parts[at], left = string.format("%.0f", part or 0), part and left - 1 or left
  end
  exceeds = exceeds or left > 0
end
-- Words of the movement: what is confirmed and, of a hold, what was held of each line, or all lines of what is taken again.
local moved, there, short, more = { nil }, state == "x" and {}, false, ""
for at = 1, #skus do
  local sku = skus[at]
  local words = sku .. " " .. parts[at]
  if state == "h" then
    moved[at] = words .. " " .. hold.counts[at]
  elseif parts[at] ~= "0" then
    moved[#moved + 1], there[#there + 1] = words, words .. " " .. string.format("%.0f", value[sku])
    short = short or value[sku] < tonumber(parts[at])
  end
  if not whole and parts[at] ~= "0" then
    more = more .. " " .. words
  end
end
-- The lines of a part as the record has them: behind what was asked for and what was taken.
more = whole and "" or (hold.taken and " #" or " # #") .. more
if exceeds then
  answer = "e"
elseif short and dueLeft then
  answer = "b"
elseif short and not final then
  answer = "s"
elseif short then
  -- The "no" stays: a confirmation that comes late must not take what its caller was told is not there (V2).
  hold.mark = operation
  mark(id, hold, "y", (whole and (hold.taken and " # " or " # # ") .. hold.held or more) .. " # " .. table.concat(there, " "))
  answer = "i"
else
  hold.mark = operation
  local words = table.concat(moved, " ")
  if state == "h" then
    finish(id, hold, "c", words, more, parts)
  else
    for at = 1, #skus do
      value[skus[at]] = value[skus[at]] - parts[at]
    end
    entries[#entries + 1] = "t" .. nowText .. " " .. id .. " " .. hold.reference .. " " .. words
    mark(id, hold, "c", more)
  end
  answer = "c"
end
