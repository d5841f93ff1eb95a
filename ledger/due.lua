-- due looks at uploads that must have a task, and gives a new generation to those that have none
-- that lives. What the indexes have lost of an upload it puts back. It knows asynq's keys (v0.26):
-- t:<task id> holds the task's state, and each state has its list or set. ARGV: "", limit, asynq's
-- prefix "asynq:{queue}:", account, grace ms, first look ms, longest look ms, keep of the dead ms,
--   cursor
-- Cursor "-": what is due to be looked at. Else a page of a sweep over everything, for when tasks
-- or index entries were lost: "<index>:<cursor>", from "sending:0" over the states of unfinished
-- uploads to all records, and then "". Returns: { looked at, uploads that must have a task, tasks
-- there are, next cursor, then key, generation and wait ms
--   of each task to put }
local limit, A, account, cursor = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[9]
local grace, first, longest, keep_dead = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local AFTER = { sending = 'waiting:0', waiting = 'queued:0', queued = 'records:0', records = '' }
local now = now_ms()
local pending = redis.call('LLEN', A .. 'pending')
local tasks = pending + redis.call('LLEN', A .. 'active') + redis.call('ZCARD', A .. 'retry') +
  redis.call('ZCARD', A .. 'scheduled')

-- in_list says whether a pending task is still in its list, which cannot be asked: what has been
-- pending for longer than the one that is fetched next is not.
local next_since
local function in_list(since)
  if pending == 0 then return false end
  if next_since == nil then
    local id = redis.call('LINDEX', A .. 'pending', -1)
    next_since = tonumber(redis.call('HGET', A .. 't:' .. id, 'pending_since') or '0')
  end
  return not since or tonumber(since) > next_since - grace * 1e6
end

local function lives(key, generation)
  local id = account .. '-' .. key .. '.' .. generation
  local t = redis.call('HMGET', A .. 't:' .. id, 'state', 'pending_since')
  local state = t[1]
  if state == 'pending' then return in_list(t[2]) end
  if state == 'active' then
    -- asynq itself takes another minute or two to find that a worker is gone. Should the task live
    -- after all, its generation is an old one from now on.
    local lease = redis.call('ZSCORE', A .. 'lease', id)
    return lease and tonumber(lease) * 1000 > now - grace
  end
  if state == 'retry' or state == 'scheduled' then return redis.call('ZSCORE', A .. state, id) end
  return false
end

-- put_back gives a finished upload back to the indexes that lack it.
local function put_back(key, r)
  local state, done = r[1], r[9] or now
  redis.call('ZADD', P .. 's:' .. state, 'NX', done, key)
  redis.call('ZADD', P .. 'o:' .. r[2], 'NX', 0, key)
  local dead = state == 'rejected' or state == 'expired'
  if r[10] or r[11] or r[12] then redis.call('ZADD', P .. 'keep', 'NX', dead and done + keep_dead or now, key) end
end

-- Where nothing is to be looked at although something is unfinished, the index of looks was lost.
local needed = redis.call('ZCARD', P .. 'look')
if needed == 0 then
  for _, s in ipairs({ 'queued', 'sending', 'waiting' }) do needed = math.max(needed, redis.call('EXISTS', P .. 's:' .. s)) end
end
local reply = { 0, needed, tasks, cursor }
local function tend(key, sweep)
  local r = redis.call('HMGET', upload_key(key), 'state', 'order', 'gen', 'next', 'lease', 'idle', 'made', 'since', 'done',
    'store', 'leaving', 'inline')
  local state, idle = r[1], tonumber(r[6] or '0')
  if state and FINAL[state] and sweep then put_back(key, r) end
  if not state or FINAL[state] then return redis.call('ZREM', P .. 'look', key) end
  redis.call('ZADD', P .. 's:' .. state, 'NX', r[7], key)
  if not is_head(key, r[2], r[8]) then return redis.call('ZREM', P .. 'look', key) end
  -- look sets the time of the next look; a sweep only where there is none.
  local function look(at)
    if sweep then redis.call('ZADD', P .. 'look', 'NX', at, key) else redis.call('ZADD', P .. 'look', at, key) end
  end
  if state == 'sending' and tonumber(r[5] or '0') > now then return look(tonumber(r[5]) + grace) end
  if lives(key, r[3] or '0') then
    idle = math.min(math.max(idle * 2, first), longest)
    if not sweep then redis.call('HSET', upload_key(key), 'idle', idle) end
    return look(now + idle)
  end
  -- In a sweep, an upload that was never looked at may be one whose producer is just about to put
  -- its task.
  if sweep and idle == 0 then return look(now + grace) end
  local generation = assign(key, now + grace)
  for _, v in ipairs({ key, generation, math.max(0, tonumber(r[4] or '0') - now) }) do table.insert(reply, v) end
end

-- entries gives a page's keys. An entry of a state that is not its upload's goes.
local function entries(index, at)
  local keys, page = {}, nil
  if index == 'records' then
    page = redis.call('SCAN', at, 'COUNT', limit, 'MATCH', P .. 'u:*')
    for _, name in ipairs(page[2]) do table.insert(keys, string.sub(name, #P + 3)) end
    return keys, page[1]
  end
  page = redis.call('ZSCAN', P .. 's:' .. index, at, 'COUNT', limit)
  for i = 1, #page[2], 2 do
    local key = page[2][i]
    if redis.call('HGET', upload_key(key), 'state') ~= index then redis.call('ZREM', P .. 's:' .. index, key) end
    table.insert(keys, key)
  end
  return keys, page[1]
end

local keys
if cursor == '-' then
  keys = redis.call('ZRANGEBYSCORE', P .. 'look', '-inf', now, 'LIMIT', 0, limit)
else
  local index, at = string.match(cursor, '^(%a+):(%d+)$')
  keys, at = entries(index, at)
  reply[4] = at == '0' and AFTER[index] or index .. ':' .. at
end
reply[1] = #keys
for _, key in ipairs(keys) do tend(key, cursor ~= '-') end
return reply
