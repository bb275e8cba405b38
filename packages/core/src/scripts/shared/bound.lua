--[[
bound: does nothing when the request is executed later than its caller waits for it (K1).

Needs
  nowUs, nowText  from time
  notAfterUs      number, the bound in server time
]]
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
