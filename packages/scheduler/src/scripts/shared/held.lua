--[[
held: for how long the last run counts as under way yet. A clock that went back would make that longer than its length: then it counts from
first sight (K8), once whoever sees it has put that on record.

Needs
  nowUs, nowText  from time
  job             from job
Gives
  heldUs    microseconds that are left, 0 for none
  heldAnew  what the record has to say from now on, for HSET; nil when it is right
]]
local heldUs, heldAnew = math.max(0, tonumber(job.held or 0) - nowUs), nil
if heldUs > 0 and tonumber(job.started or 0) > nowUs then
  heldUs = tonumber(job.held) - tonumber(job.started)
  heldAnew = { "started", nowText, "held", string.format("%.0f", nowUs + heldUs) }
end
