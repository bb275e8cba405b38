--[[
read: a page of the movement log that begins with the movement the reader has seen last, so that it can tell whether the log is still the
one it knows (V6). Changes nothing.

KEYS
  stock  HASH    what the location remembers of itself (see shelf)
  log    STREAM  movements
ARGV
  sequence  number of the first movement
  count     most movements
REPLIES
  {"page", form, movements}  movements as XRANGE gives them
]]
local stock, log = KEYS[1], KEYS[2]
local sequence, count = ARGV[1], ARGV[2]
local page = redis.call("XRANGE", log, "0-" .. sequence, "+", "COUNT", count)
return { "page", redis.call("HGET", stock, "#form") or "", page }
