--[[
expiry: until when a record is remembered. Where an earlier attempt or an operator has been, it has to outlast what they might still write:
an attempt whose record is gone stores its outcome as long as its token is younger than its retention and `rebuildMs` (finish.lua), and that
retention may be another instance's. So a record never expires earlier than the one that it replaces; one that has no expiry, being held or
lost, tells no retention, so that `rebuildMs` stands for it.

Needs
  nowUs  from time
Gives
  rebuildMs                       how old the token of an attempt may be whose record is made again
  touched(number, operations)     whether more than one attempt, or an operator, has been there
  keptUntil(key, token, touched, keepMs)  the expiry for PXAT; `key` is still as it was
]]
local rebuildMs = 86400000

local function touched(number, operations)
  return number ~= "1" or operations ~= ""
end

local function keptUntil(key, token, wasTouched, keepMs)
  -- A token ahead of the clock is remembered for its time plus the retention (K5).
  local untilMs = math.floor(math.max(nowUs, token + 0) / 1000) + keepMs
  if wasTouched then
    local leftMs = redis.call("PTTL", key)
    local before = leftMs < 0 and math.floor(token / 1000) + rebuildMs or math.floor(nowUs / 1000) + leftMs
    untilMs = math.max(untilMs, before)
  end
  return string.format("%.0f", untilMs)
end
