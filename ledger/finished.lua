-- finished gives what came to a final state after a time, oldest first: ends that were undone since,
-- too. The script is one instant and reads the clock of all others, so whatever ends later ends at
-- `now` or after: what lies before it is complete. It gives whole milliseconds only, so that a time
-- says how far a reader has come. ARGV: "", after ms, limit. Returns: { until which ms (this one
-- included) it is complete, then end ms, state and member ("<key>", or "<key> <end>" of an end that
-- was undone) of each, ordered within an index only }
local after, limit, now = tonumber(ARGV[2]), tonumber(ARGV[3]), now_ms()
-- The clock was set back: what ends now ends before what was read already. What that may have hidden
-- is read again.
if after > now then after = now - 60000 end
local complete, found = now - 1, {}

local function read(state, index)
  local list = redis.call('ZRANGEBYSCORE', index, '(' .. after, '(' .. now, 'WITHSCORES', 'LIMIT', 0, limit)
  if #list == 2 * limit then
    -- The last millisecond may go on.
    local last = list[#list]
    while list[#list] == last do
      table.remove(list)
      table.remove(list)
    end
    for _, v in ipairs(redis.call('ZRANGEBYSCORE', index, last, last, 'WITHSCORES')) do table.insert(list, v) end
    complete = math.min(complete, tonumber(last))
  end
  table.insert(found, { state, list })
end

for state in pairs(FINAL) do
  read(state, P .. 's:' .. state)
  read(state, P .. 'e:' .. state)
end
local reply = { complete }
for _, f in ipairs(found) do
  local state, list = f[1], f[2]
  for i = 1, #list, 2 do
    if tonumber(list[i + 1]) <= complete then
      table.insert(reply, list[i + 1])
      table.insert(reply, state)
      table.insert(reply, list[i])
    end
  end
end
return reply
