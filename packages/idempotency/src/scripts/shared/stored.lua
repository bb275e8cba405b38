--[[
stored: reads the record, and leaves it alone when a newer version of the package, or another program, has written it.

Needs
  record                              its key
  unpackRecord, newerFormat, notRecord  from record
Gives
  stored  its fields, or false
]]
local text = redis.call("GET", record)
local stored = text and unpackRecord(text)
if text and not stored then
  local version = newerFormat(text)
  if version then
    return { "newer-format", version }
  end
  return redis.error_reply(notRecord)
end
