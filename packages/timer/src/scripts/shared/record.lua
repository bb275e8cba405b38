--[[
record: reads what arrange writes: kind, generation, deadline minus the generation's ms, a space, operation, a space, payload.

The generation has 10 digits to the base of 36, enough until 2085. With decimal digits, most records would need a larger block of the
server's memory.

Needs
  memorize  from memory
Gives
  answerAndOperation(record)  the record up to the first space, and up to the second; nothing where another program, or a later format, wrote
                        what is no record: such a timer is delivered, fails and dies like one whose payload does not decode (T6)
  generationOf(answer)  number
  operationIn(body)     body is a record without its answer
  dueMsAndRecord(following)  of the generation that follows, the first as text; nothing where there is none
  keepAnswer(id, record)  the operation of a timer that ends or is overtaken is remembered, however long ago it was (K1)
]]
local function answerAndOperation(record)
  return string.match(record or "", "^([srf]%w%w%w%w%w%w%w%w%w%w%-?%d+) (%S+) ")
end

local function generationOf(answer)
  return tonumber(string.sub(answer, 2, 11), 36)
end

local function dueMsAndRecord(following)
  return string.match(following or "", "^(%d+) (.*)$")
end

local function operationIn(body)
  return string.sub(body, 1, string.find(body, " ", 1, true) - 1)
end

local function keepAnswer(id, record)
  local answer, operation = answerAndOperation(record)
  if answer then
    memorize("s" .. operation .. " " .. id, answer)
  end
end
