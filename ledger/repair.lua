-- What the scripts that look for missing tasks share: it stands before each of them.
local now = now_ms()
local repairs = {} -- key, generation and wait ms of each task to put

-- counts gives how many uploads must have a task, and how many tasks there are.
local function counts()
  local needed, tasks = 0, 0
  for _, s in ipairs({ 'queued', 'sending', 'waiting' }) do needed = needed + redis.call('ZCARD', P .. 's:' .. s) end
  for _, l in ipairs({ 'pending', 'active' }) do tasks = tasks + redis.call('LLEN', A .. l) end
  for _, z in ipairs({ 'retry', 'scheduled' }) do tasks = tasks + redis.call('ZCARD', A .. z) end
  return needed, tasks
end

-- in_list says whether a pending task is still in its list, which cannot be asked: what has been
-- pending for longer than the one that is fetched next is not.
local next_since
local function in_list(since, grace)
  if next_since == nil then
    local id = redis.call('LINDEX', A .. 'pending', -1)
    next_since = id and tonumber(redis.call('HGET', A .. 't:' .. id, 'pending_since') or '0')
  end
  return next_since and (not since or tonumber(since) > next_since - grace * 1e6)
end

local function lives(key, generation, grace)
  local id = task_of(key, generation)
  local t = redis.call('HMGET', A .. 't:' .. id, 'state', 'pending_since')
  local state = t[1]
  if state == 'pending' then return in_list(t[2], grace) end
  if state == 'active' then
    -- asynq itself takes another minute or two to find that a worker is gone. Should the task live
    -- after all, its generation is an old one from now on.
    local lease = redis.call('ZSCORE', A .. 'lease', id)
    return lease and tonumber(lease) * 1000 > now - grace
  end
  if state == 'retry' or state == 'scheduled' then return redis.call('ZSCORE', A .. state, id) end
  return false
end

-- requeue has a task with a new generation put for an upload, due after wait ms.
local function requeue(key, wait)
  for _, v in ipairs({ key, assign(key, now), wait }) do table.insert(repairs, v) end
end

-- put_back gives a finished upload back to the indexes that lack it.
local function put_back(key, r, keep_dead)
  local state, done = r[1], r[8] or now
  redis.call('ZADD', P .. 's:' .. state, 'NX', done, key)
  redis.call('ZADD', P .. 'o:' .. r[2], 'NX', 0, key)
  local dead = state == 'rejected' or state == 'expired'
  if r[9] or r[10] or r[11] then redis.call('ZADD', P .. 'keep', 'NX', dead and done + keep_dead or now, key) end
end

-- look gives an upload that an index named what it lacks: a task with a new generation, when it is
-- unfinished and none lives, and the entries that the indexes have lost.
local function look(key, index, grace, keep_dead)
  local r = redis.call('HMGET', upload_key(key), 'state', 'order', 'gen', 'next', 'lease', 'made', 'since', 'done',
    'store', 'leaving', 'inline', 'assigned', 'ref')
  local state = r[1]
  if state and index == 'records' then index_search(key, r[2], r[13]) end
  -- An entry that is not its upload's goes.
  if index ~= 'records' and state ~= index and not (state == 'queued' and index == 'behind') then
    redis.call('ZREM', P .. 's:' .. index, key)
  end
  if not state then return end
  if FINAL[state] then return put_back(key, r, keep_dead) end
  local head, lost = is_head(key, r[2], r[7])
  if state ~= 'queued' then
    if state ~= index then redis.call('ZADD', P .. 's:' .. state, 'NX', r[6], key) end
  elseif index ~= (head and 'queued' or 'behind') then
    place_queued(key, head, r[6])
  end
  -- Others of a lost order queue may have yet to go back to their places before this one.
  if not head or lost then return end
  if state == 'sending' and tonumber(r[5] or '0') + grace > now then return end
  -- Whoever gave it its generation may be just about to put the task.
  if tonumber(r[12] or r[7]) + grace > now or lives(key, r[3] or '0', grace) then return end
  requeue(key, math.max(0, tonumber(r[4] or '0') - now))
end
