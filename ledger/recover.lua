-- recover takes uploads back from workers that are gone: it marks their attempts interrupted, and
-- gives new generations to these uploads and to those whose tasks they had taken up. ARGV: "", a
-- JSON object: { dead: instance -> its last beat, leases: task id -> the time to which asynq leased
-- it }. What has moved since is left alone. Returns: { key, generation and wait ms of each task to
-- put }
local gone = cjson.decode(ARGV[2])

-- drop takes a task out of asynq that only a dead worker still has.
local function drop(id)
  redis.call('LREM', A .. 'active', 0, id)
  redis.call('ZREM', A .. 'lease', id)
  redis.call('DEL', A .. 't:' .. id)
end

local dead = {}
for instance, beat in pairs(gone.dead) do
  if redis.call('HGET', P .. 'workers', instance) == beat then
    redis.call('HDEL', P .. 'workers', instance)
    dead[instance] = true
  end
end

local function recover(key)
  local u = upload_key(key)
  local r = redis.call('HMGET', u, 'state', 'instance', 'gen', 'run', 'made')
  if r[1] ~= 'sending' or not dead[r[2]] or not interrupt(key, now) then return end
  -- If it was the account's probe, another may ask now.
  if redis.call('HGET', P .. 'breaker', 'probe') == field(r[4], F_NONCE) then
    redis.call('HDEL', P .. 'breaker', 'probe', 'probe_till')
  end
  redis.call('HINCRBY', u, 'soft', 1)
  move(key, 'sending', 'waiting', r[5], 'next', now)
  drop(task_of(key, r[3]))
  renew(key, 0)
end

if next(dead) then
  for _, key in ipairs(redis.call('ZRANGE', P .. 's:sending', 0, -1)) do recover(key) end
end
for id, lease in pairs(gone.leases) do
  local key, generation = string.match(id, '^' .. string.gsub(ACCOUNT, '%-', '%%-') .. '%-(%w+)%.(%d+)$')
  local held = redis.call('ZSCORE', A .. 'lease', id)
  if key and held and tonumber(held) == lease then
    local r = redis.call('HMGET', upload_key(key), 'state', 'gen', 'order', 'since', 'next')
    if r[1] ~= 'sending' or r[2] ~= generation then drop(id) end
    if r[1] and r[1] ~= 'sending' and not FINAL[r[1]] and r[2] == generation and is_head(key, r[3], r[4]) then
      renew(key, math.max(0, tonumber(r[5] or '0') - now))
    end
  end
end
return repairs
