--[[
open: agrees on the number of buckets, in bucket 0, before any other bucket is used. Safe to repeat and to run late.

KEYS
  stock  HASH  counters and what the bucket remembers of itself (see shelf)
ARGV
  layout      format and number of buckets, each with a colon behind
  notAfterUs  bound in server time (K1)
REPLIES
  {"too-late", now}
  {"form", form}    kept in another form
  {"opened", form}
]]
local stock = KEYS[1]
local layout, notAfterUs = ARGV[1], tonumber(ARGV[2])
-- @include time
-- @include bound
local form = redis.call("HGET", stock, "#form")
if form and string.sub(form, 1, #layout) ~= layout then
  return { "form", form }
elseif not form then
  form = layout .. nowText
  redis.call("HSET", stock, "#form", form)
end
return { "opened", form }
