-- discard gives up on an upload that is not being sent.
-- ARGV: key, grace ms
-- Returns: { "discarded", next in line or "", its generation, generation of the discarded } or { "refused", state }
--   or { "unknown" }
local u, now = upload_key(KEY), now_ms()
local r = redis.call('HMGET', u, 'state', 'order', 'lease', 'gen')
local state, order = r[1], r[2]
if not state then return { 'unknown' } end
if state == 'discarded' then return { 'discarded', '', 0, 0 } end
if state == 'delivered' or (state == 'sending' and tonumber(r[3]) > now) then return { 'refused', state } end
if state == 'sending' then
  local line = redis.call('LINDEX', P .. 'a:' .. KEY, -1)
  if line and not field(line, F_VERDICT) then
    redis.call('LSET', P .. 'a:' .. KEY, -1, line .. '\t' .. now .. '\t\tinterrupted')
  end
end
move(KEY, state, 'discarded', now)
redis.call('HSET', u, 'done', now)
redis.call('HDEL', u, 'next', 'nonce', 'lease', 'was', 'idle')
redis.call('ZADD', P .. 'keep', now, KEY)
local next_key, next_generation = leave(KEY, order, now + tonumber(ARGV[2]))
return { 'discarded', next_key or '', next_generation or 0, tonumber(r[4] or '0') }
