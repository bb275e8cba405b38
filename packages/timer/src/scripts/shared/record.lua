--[[
record: reads what arrange writes: kind, generation, deadline minus the generation's ms, a space, operation, a space, payload.

The generation has 10 digits to the base of 36, enough until 2085. With decimal digits, most records would need a larger block of the
server's memory.

Needs
  memorize  from memory
Gives
  generationOf(record)  number
  answerOf(record)      the record up to the first space
  operationOf(record)
  headOf(record)        both, and the space between them
  operationIn(body)     body is a record without its answer
  keepAnswer(id, record)  the operation of a timer that ends or is overtaken is remembered, however long ago it was (K1)
]]
local function generationOf(record)
  return tonumber(string.sub(record, 2, 11), 36)
end

local function answerOf(record)
  return string.sub(record, 1, string.find(record, " ", 1, true) - 1)
end

local function operationOf(record)
  local from = string.find(record, " ", 1, true)
  return string.sub(record, from + 1, string.find(record, " ", from + 1, true) - 1)
end

local function headOf(record)
  return string.sub(record, 1, string.find(record, " ", string.find(record, " ", 1, true) + 1, true) - 1)
end

local function operationIn(body)
  return string.sub(body, 1, string.find(body, " ", 1, true) - 1)
end

local function keepAnswer(id, record)
  memorize("o" .. operationOf(record) .. " " .. id, answerOf(record))
end
