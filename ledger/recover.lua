-- recover takes uploads back from workers that are gone: it marks their attempts interrupted, and
-- gives new generations to these uploads and to those whose tasks they had taken up. What has moved
-- since is left alone. ARGV: "", n, n pairs of a worker's instance and its last beat, then pairs of
-- a task's id and the time to which asynq leased it. Returns: { key, generation and wait ms of each
-- task to put }
local dead, leases = {}, {}
for i = 3, #ARGV, 2 do
  local name, sign = ARGV[i], ARGV[i + 1]
  if i >= 3 + 2 * ARGV[2] then
    leases[name] = tonumber(sign)
  elseif redis.call('HGET', P .. 'workers', name) == sign then
    redis.call('HDEL', P .. 'workers', name)
    dead[name] = true
  end
end

-- drop takes a task out of asynq that nobody has any more.
local function drop(id)
  redis.call('LREM', A .. 'active', 0, id)
  redis.call('ZREM', A .. 'lease', id)
  redis.call('DEL', A .. 't:' .. id)
end

local function take_back(key)
  local r = redis.call('HMGET', upload_key(key), 'state', 'instance', 'gen', 'run', 'made')
  if r[1] ~= 'sending' or not dead[r[2]] or not interrupt(key, now) then return end
  -- If it was the account's probe, another may ask now.
  if redis.call('HGET', P .. 'breaker', 'probe') == field(r[4], F_NONCE) then
    redis.call('HDEL', P .. 'breaker', 'probe', 'probe_till')
  end
  redis.call('HINCRBY', upload_key(key), 'soft', 1)
  move(key, 'sending', 'waiting', r[5], 'next', now)
  drop(task_of(key, r[3]))
  requeue(key, 0)
end
if next(dead) then
  for _, key in ipairs(redis.call('ZRANGE', P .. 's:sending', 0, -1)) do take_back(key) end
end

for id, lease in pairs(leases) do
  local key, generation = string.match(id, '%-(%w+)%.(%d+)$')
  local held = redis.call('ZSCORE', A .. 'lease', id)
  if key and task_of(key, generation) == id and held and tonumber(held) == lease then
    local r = redis.call('HMGET', upload_key(key), 'state', 'gen', 'order', 'since', 'next', 'lease')
    local needed = r[1] and not FINAL[r[1]] and r[2] == generation
    -- An attempt that runs is its worker's, whose beat tells, until its lease is over.
    local runs = r[1] == 'sending' and tonumber(r[6] or '0') > now
    if not needed or not runs then drop(id) end
    if needed and not runs and is_head(key, r[3], r[4]) then
      requeue(key, math.max(0, tonumber(r[5] or '0') - now))
    end
  end
end
return repairs
