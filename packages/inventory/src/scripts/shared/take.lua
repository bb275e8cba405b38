--[[
take: one order of apply's on the shelf. Its lines are taken one after the other, so that a sku on two lines is summed (V3), and put back
when one of them cannot be had.

Needs
  the names of shelf; final, nowText; skus, took tables of apply's; endDigits, endText a length and the end of a hold as long as that; id;
  order, its last words (tail), and its lines (asked) with where they begin in it (linesAt); kind; digits holdMs of a reservation; flag,
  reference
Gives
  answer  the answer to the order
  record  what is remembered of it, when it is decided
  wrong   an id whose quantity is out of range (V7), or false
]]
local partly, puts, least = flag == "a" and final and not dueLeft, kind == "k" or kind == "j", kind == "j" and -1099511627776 or 1
local lines, at, obstacle, less = 0, linesAt, false, false
while at <= #order do
  local sku, text, after = string.match(order, "^(%S+) (%S+) ?()", at)
  local quantity, there = tonumber(text) or 0, value[sku]
  if not (quantity >= least and quantity <= 1099511627776 and quantity % 1 == 0) or quantity == 0 then
    wrong, quantity = id, 0
  end
  local taken = puts and -quantity or quantity
  if partly and taken > there then
    taken, less = there, true
  end
  local left = there - taken
  if left < 0 then
    obstacle = "s"
  elseif taken < 0 then
    -- What came in here, wherever it is now, is at most this bucket's share, so all buckets together have no more than 2^53 - 1.
    local share = math.floor(9007199254740991 / string.match(layout, ":(%d+):"))
    obstacle = left + value["r#" .. sku] - (value["n#" .. sku] or 0) > share and "o" .. sku or obstacle
  end
  lines, at = lines + 1, after
  value[sku], skus[lines], took[lines] = left, sku, taken
end
local moved = asked
if less and not obstacle then
  local list = {}
  for line = 1, lines do
    list[#list + 1] = took[line] > 0 and skus[line] .. " " .. string.format("%.0f", took[line]) or nil
  end
  obstacle, moved = not list[1] and "s", table.concat(list, " ")
  tail = tail .. " # " .. moved
end
if obstacle then
  for line = 1, lines do
    value[skus[line]] = value[skus[line]] + took[line]
  end
end
if obstacle == "s" and dueLeft then
  answer = "b"
elseif obstacle == "s" and final then
  local words = {}
  for line = 1, lines do
    words[line] = skus[line] .. " " .. string.format("%.0f", value[skus[line]])
  end
  local head = "n" .. kind .. nowMsText .. " " .. (kind == "v" and "0 " .. digits .. " - " or "")
  record = head .. flag .. " " .. reference .. " " .. asked .. " # " .. table.concat(words, " ")
  answer = "=" .. record
elseif obstacle then
  answer = obstacle
else
  entries[#entries + 1] = kind .. nowText .. " " .. id .. " " .. reference .. " " .. moved
  if kind == "v" then
    for line = 1, lines do
      local field = "r#" .. skus[line]
      value[field] = value[field] + took[line]
    end
    if digits ~= endDigits then
      -- Now is cut to a millisecond, so one more makes the hold last holdMs at least.
      endDigits, endText = digits, string.format("%.0f", nowMs + 1 + digits)
      nextMs = math.min(nextMs, nowMs + 1 + digits)
    end
    held[#held + 1] = endText
    held[#held + 1] = id
    record = "hv" .. nowMsText .. " " .. endText .. " " .. digits .. " - " .. tail
    answer = less and "=" .. record or "h" .. endText
  else
    record = "t" .. kind .. nowMsText .. " " .. tail
    answer = less and "=" .. record or "t"
  end
end
if record then
  if index < count then
    fresh[id] = record
  end
  kept[#kept + 1] = id
  kept[#kept + 1] = record
end
