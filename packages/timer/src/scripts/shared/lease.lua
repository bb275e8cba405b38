--[[
lease: how a score and a note say who holds a timer.

A pending timer's score is its deadline in microseconds, a multiple of 1000. A leased timer's score is the end of its lease, never a
multiple of 1000; it identifies the lease until the first extension, which writes the token into the timer's note. Most timers have no
note: only those that crashed, were retried, extended or cancelled while leased.

Note: attempts begun (4 digits), "s" when a process that held it vanished or "-", "c" when it was cancelled while leased or "-",
token (16 digits) of the extended lease or nothing.

Needs
  nowUs
Gives
  isLease(score), leaseEndText(lengthUs), makeNote(attempts, suspect, cancelled, token), attemptsOf(note), isSuspect(note),
  isCancelled(note), tokenOf(note)
]]
local function isLease(score)
  -- Most scores end in three zeros; a server may write a number with an exponent.
  return score and string.sub(score, -3) ~= "000" and tonumber(score) % 1000 ~= 0
end

local function leaseEndText(lengthUs)
  local endUs = nowUs + lengthUs
  if endUs % 1000 == 0 then
    endUs = endUs + 1
  end
  return string.format("%.0f", endUs)
end

local function attemptsOf(note)
  return note and tonumber(string.sub(note, 1, 4)) or 0
end

local function isSuspect(note)
  return note and string.sub(note, 5, 5) == "s"
end

local function isCancelled(note)
  return note and string.sub(note, 6, 6) == "c"
end

local function tokenOf(note)
  return note and string.sub(note, 7) or ""
end

local function makeNote(attempts, suspect, cancelled, token)
  return string.format("%04d", attempts) .. (suspect and "s" or "-") .. (cancelled and "c" or "-") .. token
end
