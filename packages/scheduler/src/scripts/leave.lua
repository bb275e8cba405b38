--[[
leave: ends an attempt whose occurrence goes on. One that never began is taken back, so that none is spent (C1); of one that failed the
failure is kept, for the history should no other attempt follow. Safe to repeat, also after others have left; a begin of the same delivery that
arrives later begins nothing.

KEYS
  state  HASH  the record
ARGV
  notAfterUs  bound in server time
  id          the occurrence
  token       of the delivery
  failure     JSON: which attempt, why, and its error; "" when it never began
REPLIES
  {"format", format}
  {"too-late", now}
  {"left"}
]]
local state = KEYS[1]
local notAfterUs, id, token, failure = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
-- @include time
-- @include bound
-- @include job
if not job.format or job.removed or job.left == token then
  return { "left" }
end
local isOpen = job.open == id and job.token == token
-- A first write that needs no memory, so that the others pass when it is out (K3).
redis.call("HDEL", state, "left")
redis.call("HSET", state, "left", token)
if isOpen and failure == "" and job.returned ~= token then
  redis.call("HSET", state, "attempts", tonumber(job.attempts) - 1, "returned", token)
elseif isOpen and failure ~= "" then
  redis.call("HSET", state, "failure", failure)
end
return { "left" }
