--[[
advance-fence: makes a resource refuse every token below this one, without writing to it.

KEYS
  fence  STRING  the highest token of the resource
ARGV
  notAfterUs        bound in server time (K1)
  token             16 digits
  guardRetentionMs  how long tokens are remembered; older ones are refused
REPLIES
  {"done"}             lower tokens are refused from now on
  {"stale", highest}   a higher token has been there
  {"too-old", oldest}  the token is older than the guard remembers
  {"newer-format", n}  the fence is of a newer version
  {"too-late", now}    nothing was done
]]
local fence = KEYS[1]
local notAfterUs, token, guardRetentionMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])

-- @include time
-- @include bound
-- @include fence
local refusal = stale()
if refusal then
  return refusal
end
advance()
return { "done" }
