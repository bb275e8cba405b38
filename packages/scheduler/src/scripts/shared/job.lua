--[[
job: what is on record of a job. A record of a newer format is left alone.

Needs
  state  key of the record
Gives
  job  field → text, false where there is none
]]
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
