--[[
take: one order on the shelf. Its lines are taken one after the other, so that a sku on two lines is summed (V3), and put back when one of
them cannot be had.

Needs
  the names of shelf; input, final, nowText
Gives
  take(id, kind, holdMs, tail, from, upTo)  the answer to an order whose lines stand in `input`
  wrong                                     an id whose quantity is out of range, or false
]]
local wrong = false
local endTexts = {}

local function refuse(id, kind, holdMs, tail, from, upTo)
  if dueLeft then
    return "b"
  elseif final ~= "1" then
    return "s"
  end
  local words = {}
  for line = from, upTo, 2 do
    words[#words + 1] = input[line] .. " " .. string.format("%.0f", value[input[line]])
  end
  local head = "n" .. kind .. nowMsText .. " " .. (kind == "v" and "0 " .. holdMs .. " - " or "")
  local record = head .. tail .. " # " .. table.concat(words, " ")
  kept[#kept + 1] = id
  kept[#kept + 1] = record
  return "=" .. record
end

local function take(id, kind, holdMs, tail, from, upTo)
  local partly, obstacle, took = string.sub(tail, 1, 1) == "a" and final == "1", false, {}
  for line = from, upTo, 2 do
    local sku, quantity = input[line], tonumber(input[line + 1]) or 0
    local amount = quantity < 0 and -quantity or quantity
    if not (amount >= 1 and amount <= 1099511627776 and amount % 1 == 0) then
      wrong = id
    end
    local there = value[sku]
    local taken = partly and quantity > there and there or quantity
    local left = there - taken
    if left < 0 then
      obstacle = "s"
    elseif quantity < 0 and left + value["r#" .. sku] > 9007199254740991 then
      obstacle = "o" .. sku
    end
    value[sku] = left
    took[#took + 1] = taken
  end
  local words = string.sub(tail, 3)
  if partly and not obstacle then
    local list = {}
    for line = from, upTo, 2 do
      local taken = took[(line - from) / 2 + 1]
      list[#list + 1] = taken > 0 and input[line] .. " " .. string.format("%.0f", taken) or nil
    end
    local some = table.concat(list, " ")
    local reference = string.match(words, "^%S+ ")
    obstacle = some == "" and "s" or false
    if reference .. some ~= words then
      tail, words = tail .. " # " .. some, reference .. some
    end
  end
  if obstacle then
    for line = from, upTo, 2 do
      value[input[line]] = value[input[line]] + took[(line - from) / 2 + 1]
    end
    return obstacle == "s" and refuse(id, kind, holdMs, tail, from, upTo) or obstacle
  end
  for line = from, upTo, 2 do
    local sku, taken = input[line], took[(line - from) / 2 + 1]
    if taken ~= 0 then
      put(sku, value[sku])
      if kind == "v" then
        put("r#" .. sku, value["r#" .. sku] + taken)
      end
    end
  end
  entries[#entries + 1] = kind .. nowText .. " " .. id .. " " .. words
  kept[#kept + 1] = id
  if kind ~= "v" then
    kept[#kept + 1] = "t" .. kind .. nowMsText .. " " .. tail
    return #words == #tail - 2 and "t" or "=" .. kept[#kept]
  end
  -- Now is cut to a millisecond, so one more makes the hold last holdMs at least.
  local endText = endTexts[holdMs]
  if not endText then
    endText = string.format("%.0f", nowMs + 1 + holdMs)
    endTexts[holdMs] = endText
    nextMs = math.min(nextMs, nowMs + 1 + holdMs)
  end
  held[#held + 1] = endText
  held[#held + 1] = id
  live[side] = live[side] + 1
  kept[#kept + 1] = "hv" .. nowMsText .. " " .. endText .. " " .. holdMs .. " - " .. tail
  return #words == #tail - 2 and "h" .. endText or "=" .. kept[#kept]
end
