--[[
confirm: confirms a reservation of settle's, as a whole or in part, or takes an expired one again if stock is left.

Needs
  the names of shelf, holds and expiry; final
Gives
  confirm(order, id, words)    the letter of the answer; the order has its mark, the number of its lines, and what is wanted by sku
  takeAgain(order, id, words)  the same for one that has expired
]]
-- What is confirmed of each line, or false when it is more than is held.
local function parts(order, words)
  local first, lines, left = firstHeld(words), {}, order.lines
  local whole = left == 0
  for held = first, lastHeld(words, first), 2 do
    local sku, quantity = words[held], tonumber(words[held + 1])
    local part = whole and quantity or order.wanted[sku]
    if part and part > quantity then
      return false
    end
    left = part and left - 1 or left
    lines[#lines + 1] = { sku = sku, quantity = quantity, part = part or 0 }
  end
  return (whole or left == 0) and lines, whole
end

local function setPart(words, lines, whole)
  local upTo = lastHeld(words, firstHeld(words))
  for word = #words, upTo + 1, -1 do
    words[word] = nil
  end
  if not whole then
    if firstHeld(words) == 7 then
      words[#words + 1] = "#"
    end
    words[#words + 1] = "#"
    for _, line in ipairs(lines) do
      words[#words + 1] = line.part > 0 and line.sku .. " " .. number(line.part) or nil
    end
  end
end

local function confirm(order, id, words)
  local lines, whole = parts(order, words)
  if not lines then
    return "e"
  end
  local moved = {}
  for _, line in ipairs(lines) do
    local reserved = value["r#" .. line.sku] - line.quantity
    if reserved < 0 then
      bad = "r#" .. line.sku
    end
    put("r#" .. line.sku, reserved)
    put(line.sku, value[line.sku] + line.quantity - line.part)
    moved[#moved + 1] = line.sku .. " " .. number(line.part) .. " " .. number(line.quantity)
  end
  entries[#entries + 1] = "c" .. nowText .. " " .. id .. " " .. words[6] .. " " .. table.concat(moved, " ")
  free(id)
  words[4] = order.mark
  setPart(words, lines, whole)
  mark(id, words, "c")
  return "c"
end

local function takeAgain(order, id, words)
  local lines, whole = parts(order, words)
  if not lines then
    return "e"
  end
  local moved, short, left = {}, false, {}
  for _, line in ipairs(lines) do
    short = short or value[line.sku] < line.part
    if line.part > 0 then
      moved[#moved + 1] = line.sku .. " " .. number(line.part)
      left[#left + 1] = line.sku .. " " .. number(line.part) .. " " .. number(value[line.sku])
    end
  end
  if short and dueLeft then
    return "b"
  elseif short and final ~= "1" then
    return "s"
  end
  setPart(words, lines, whole and not short)
  words[4] = order.mark
  if short then
    -- The "no" stays: a confirmation that comes late must not take what its caller was told is not there (V2).
    words[#words + 1] = "# " .. table.concat(left, " ")
    mark(id, words, "y")
    return "i"
  end
  for _, line in ipairs(lines) do
    put(line.sku, value[line.sku] - line.part)
  end
  entries[#entries + 1] = "t" .. nowText .. " " .. id .. " " .. words[6] .. " " .. table.concat(moved, " ")
  mark(id, words, "c")
  return "c"
end
