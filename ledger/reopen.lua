-- reopen sends a rejected or expired upload again with a fresh budget, a waiting one now, and gives
-- a queued one a new task, should its own be lost. ARGV: key, token: of this call, the
-- same when its reply was lost and it is made again, who and why. Returns: { "reopened", generation of the task
-- to put (0: none), generation of the task it replaces } or
--   { "refused", state } or { "unknown" }, or { "gone" } when the voucher is no longer kept.
local u, now = upload_key(KEY), now_ms()
local r = redis.call('HMGET', u, 'state', 'order', 'store', 'gen', 'token', 'made', 'since', 'inline')
local state, order = r[1], r[2]
if not state then return { 'unknown' } end
if r[5] == ARGV[2] then return { 'reopened', head_of(order) == KEY and tonumber(r[4]) or 0, 0 } end
if state == 'waiting' or state == 'queued' then
  note_action(KEY, now, 'retry', state, ARGV[3])
  local head = is_head(KEY, order, r[7])
  redis.call('HSET', u, 'token', ARGV[2])
  if state == 'waiting' then
    redis.call('ZADD', P .. 's:waiting', 'NX', r[6], KEY)
    redis.call('HSET', u, 'next', 0)
  else
    place_queued(KEY, head, r[6])
  end
  if not head then return { 'reopened', 0, 0 } end
  return { 'reopened', assign(KEY, now), tonumber(r[4] or '0') }
end
if state ~= 'rejected' and state ~= 'expired' then return { 'refused', state } end
if not r[3] and not r[8] then return { 'gone' } end
note_action(KEY, now, 'retry', state, ARGV[3])
note_end(KEY, state)
redis.call('ZREM', P .. 'keep', KEY)
redis.call('HDEL', u, 'refusals', 'soft', 'next', 'done', 'won')
-- A retried upload waits from now on; only its creation, which never changes, stays older.
local place, head = join(KEY, order, now)
unindex(KEY, state)
place_queued(KEY, head, r[6])
redis.call('HSET', u, 'state', 'queued', 'since', place, 'token', ARGV[2])
if not head then return { 'reopened', 0, 0 } end
return { 'reopened', assign(KEY, now), 0 }
