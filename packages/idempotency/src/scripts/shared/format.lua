--[[
format: leaves a record alone that a newer version of the package has written.

Needs
  version  the record's, or false
]]
if version and tonumber(version) > 1 then
  return { "newer-format", tonumber(version) }
end
