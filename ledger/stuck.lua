-- stuck takes out of asynq's active list what asynq (v0.26) never ends itself: an entry without a
-- task, one whose message it cannot decode, or which names another queue or id. An undecodable one
-- also keeps asynq from recovering any task of a dead worker. ARGV: "", asynq's prefix
-- "asynq:{queue}:", how long a lease must have run out (s) Returns: { task id, ... }
local A = ARGV[2]
local over = math.floor(now_ms() / 1000) - tonumber(ARGV[3])

local stuck = redis.call('ZRANGEBYSCORE', A .. 'lease', '-inf', over)
for _, id in ipairs(redis.call('LRANGE', A .. 'active', 0, -1)) do
  -- Taking up a task gives it its lease in the same step: without one, that step was cut short.
  if not redis.call('ZSCORE', A .. 'lease', id) then table.insert(stuck, id) end
end

for _, id in ipairs(stuck) do
  redis.call('LREM', A .. 'active', 0, id)
  redis.call('ZREM', A .. 'lease', id)
  local task = A .. 't:' .. id
  if redis.call('TYPE', task).ok ~= 'hash' or redis.call('HGET', task, 'state') == 'active' then
    redis.call('DEL', task)
  end
end
return stuck
