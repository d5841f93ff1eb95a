-- reopen sends a rejected or expired upload again with a fresh budget, a waiting one now, and gives
-- a queued one a new task, should its own be lost. ARGV: key, grace ms, token: of this call, the
-- same when its reply was lost and it is made again Returns: { "reopened", generation of the task
-- to put (0: none), generation of the task it replaces } or
--   { "refused", state } or { "unknown" }, or { "gone" } when the voucher is no longer kept.
local u, now = upload_key(KEY), now_ms()
local r = redis.call('HMGET', u, 'state', 'order', 'store', 'gen', 'token', 'made', 'since', 'inline')
local state, order = r[1], r[2]
if not state then return { 'unknown' } end
if r[5] == ARGV[3] then return { 'reopened', head_of(order) == KEY and tonumber(r[4]) or 0, 0 } end
if state == 'waiting' or state == 'queued' then
  redis.call('ZADD', P .. 's:' .. state, 'NX', r[6], KEY)
  redis.call('HSET', u, 'token', ARGV[3])
  if state == 'waiting' then redis.call('HSET', u, 'next', 0) end
  if not is_head(KEY, order, r[7]) then return { 'reopened', 0, 0 } end
  return { 'reopened', assign(KEY, now + tonumber(ARGV[2])), tonumber(r[4] or '0') }
end
if state ~= 'rejected' and state ~= 'expired' then return { 'refused', state } end
if not r[3] and not r[8] then return { 'gone' } end
redis.call('ZREM', P .. 'keep', KEY)
redis.call('HDEL', u, 'refusals', 'soft', 'next', 'done')
-- A retried upload waits from now on; only its creation, which never changes, stays older.
move(KEY, state, 'queued', r[6])
local place, head = join(KEY, order, now)
redis.call('HSET', u, 'since', place, 'token', ARGV[3])
if not head then return { 'reopened', 0, 0 } end
return { 'reopened', assign(KEY, now + tonumber(ARGV[2])), 0 }
