-- due looks at uploads that must have a task, and gives a new generation to those that have none that lives.
-- It knows asynq's keys (v0.26): t:<task id> holds the task's state, and each state has its list or set.
-- ARGV: "", limit, asynq's prefix "asynq:{queue}:", lane, grace ms, first look ms, longest look ms, cursor
-- Cursor "-": what is due to be looked at. A number: a page of a sweep over all of them, for when tasks were lost.
-- Returns: { looked at, uploads that must have a task, tasks there are, next cursor, then key, generation and wait ms
--   of each task to put }
local limit, A, lane, cursor = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[8]
local grace, first, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local now = now_ms()
local pending = redis.call('LLEN', A .. 'pending')
local tasks = pending + redis.call('LLEN', A .. 'active') + redis.call('ZCARD', A .. 'retry') +
  redis.call('ZCARD', A .. 'scheduled')

local function lives(key, generation)
  local id = lane .. '-' .. key .. '.' .. generation
  local state = redis.call('HGET', A .. 't:' .. id, 'state')
  if state == 'pending' then return pending > 0 end
  if state == 'active' then
    -- asynq itself takes another minute or two to find that a worker is gone. Should the task live after all, its
    -- generation is an old one from now on.
    local lease = redis.call('ZSCORE', A .. 'lease', id)
    return lease and tonumber(lease) * 1000 > now - grace
  end
  if state == 'retry' or state == 'scheduled' then return redis.call('ZSCORE', A .. state, id) end
  return false
end

local keys, sweep = {}, cursor ~= '-'
if sweep then
  local page = redis.call('ZSCAN', P .. 'look', cursor, 'COUNT', limit)
  cursor = page[1]
  for i = 1, #page[2], 2 do table.insert(keys, page[2][i]) end
else
  keys = redis.call('ZRANGEBYSCORE', P .. 'look', '-inf', now, 'LIMIT', 0, limit)
end

local reply = { #keys, redis.call('ZCARD', P .. 'look'), tasks, cursor }
for _, key in ipairs(keys) do
  local r = redis.call('HMGET', upload_key(key), 'state', 'order', 'gen', 'next', 'lease', 'idle')
  local state, idle = r[1], tonumber(r[6] or '0')
  if not state or FINAL[state] or head_of(r[2]) ~= key then
    redis.call('ZREM', P .. 'look', key)
  elseif state == 'sending' and tonumber(r[5]) > now then
    if not sweep then redis.call('ZADD', P .. 'look', tonumber(r[5]) + grace, key) end
  elseif lives(key, r[3] or '0') then
    if not sweep then
      idle = math.min(math.max(idle * 2, first), longest)
      redis.call('HSET', upload_key(key), 'idle', idle)
      redis.call('ZADD', P .. 'look', now + idle, key)
    end
  elseif not sweep or idle > 0 then
    -- In a sweep, an upload that was never looked at may be one whose producer is just about to put its task.
    local generation = assign(key, now + grace)
    for _, v in ipairs({ key, generation, math.max(0, tonumber(r[4] or '0') - now) }) do table.insert(reply, v) end
  end
end
return reply
