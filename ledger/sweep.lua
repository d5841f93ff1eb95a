-- sweep looks at a page of everything, and gives a new generation to unfinished uploads without a
-- task that lives. What the indexes have lost of an upload it puts back. ARGV: "", limit, cursor,
-- grace ms, keep of the dead ms. The cursor is "<index>:<cursor>", from "sending:0" over the states
-- of unfinished uploads to all records, and then "". Returns: { next cursor, then key, generation
-- and wait ms of each task to put }
local limit, cursor, grace, keep_dead = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local AFTER = { sending = 'waiting:0', waiting = 'queued:0', queued = 'behind:0', behind = 'records:0', records = '' }

local index, at = string.match(cursor, '^(%a+):(%d+)$')
local keys, page = {}, nil
if index == 'records' then
  page = redis.call('SCAN', at, 'COUNT', limit, 'MATCH', P .. 'u:*')
  for _, name in ipairs(page[2]) do table.insert(keys, string.sub(name, #P + 3)) end
else
  page = redis.call('ZSCAN', P .. 's:' .. index, at, 'COUNT', limit)
  for i = 1, #page[2], 2 do table.insert(keys, page[2][i]) end
end
for _, key in ipairs(keys) do look(key, index, grace, keep_dead) end
return { page[1] == '0' and AFTER[index] or index .. ':' .. page[1], unpack(repairs) }
