--[[
record: a key's record is one text, so that a claim and an outcome read it with one command and write it with one:
`version:state:token:fingerprint:owner:number:possible:rule:begun:leased:length:refused:operations:ended:codec:result`
Times and lengths are in microseconds. What callers have named is percent-encoded; the result comes last, for it may hold anything.
While an attempt runs, the last three are empty. What was done to the key by name, and is not to be done again, stands in `operations`, the
last first: a letter for what was answered, the name, and a brace, which no name holds.

Gives
  memberOf(key)        tenant and key, as the index has them: what follows the hash tag and `record`
  headOf(text)         version, state, token, fingerprint, owner, and where the rest begins; nothing when this version cannot read it
  unpackRecord(text)   all fields by name, or nil
  packRecord(fields)   the text
  newerFormat(text)    the version of a record that this version cannot read, or nil when it is no record at all
  notRecord            what to say then
  refuse(key, fields)  counts that an attempt which was overtaken tried to change the record, in vain (I2)
  recall(fields, answer, name)    whether that was done and answered (K1)
  remember(fields, answer, name)  notes that it was; the last 16 are kept
]]
local notRecord = "WRONGTYPE Operation against a key that holds no idempotency record"
local operationsMax = 16

local function memberOf(key)
  return string.sub(key, string.find(key, "}", 1, true) + #"}:record:")
end

local function headOf(text)
  return string.match(text, "^(1):(%l+):(%d+):([^:]*):([^:]*):()")
end

local function unpackRecord(text)
  local fields, at = {}, nil
  fields.version, fields.state, fields.token, fields.print, fields.owner, at = headOf(text)
  if not at then
    return nil
  end
  fields.number, fields.possible, fields.rule, fields.begun, fields.leased, fields.length, fields.refused, fields.operations,
    fields.ended, fields.codec, at = string.match(text,
    "^(%d+):(%d*):(%l*):(%d*):(%d*):(%d*):(%d+):([^:]*):(%d*):([^:]*):()", at)
  if not at then
    return nil
  end
  fields.result = string.sub(text, at)
  return fields
end

local function packRecord(fields)
  return "1:" .. fields.state .. ":" .. fields.token .. ":" .. fields.print .. ":" .. fields.owner .. ":" .. fields.number
    .. ":" .. fields.possible .. ":" .. fields.rule .. ":" .. fields.begun .. ":" .. fields.leased .. ":" .. fields.length
    .. ":" .. fields.refused .. ":" .. fields.operations .. ":" .. fields.ended .. ":" .. fields.codec .. ":" .. fields.result
end

local function newerFormat(text)
  local version = tonumber(string.match(text, "^(%d+):"))
  return version and version > 1 and version or nil
end

local function refuse(key, fields)
  fields.refused = string.format("%.0f", fields.refused + 1)
  redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
end

local function recall(fields, answer, name)
  return fields and string.find("}" .. fields.operations, "}" .. answer .. name .. "}", 1, true) ~= nil
end

local function remember(fields, answer, name)
  local kept, count = answer .. name .. "}", 1
  for entry in string.gmatch(fields.operations, "[^}]*}") do
    if count == operationsMax then
      break
    end
    kept, count = kept .. entry, count + 1
  end
  fields.operations = kept
end
