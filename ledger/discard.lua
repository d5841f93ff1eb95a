-- discard gives up on an upload that is not being sent. ARGV: key, who and why. Returns: { "discarded",
-- head of the order queue or "", its generation, generation of the discarded } or
--   { "refused", state } or { "unknown" }
local u, now = upload_key(KEY), now_ms()
local r = redis.call('HMGET', u, 'state', 'order', 'lease', 'gen')
local state, order = r[1], r[2]
if not state then return { 'unknown' } end
local function reply()
  local head = head_of(order)
  return { 'discarded', head or '', head and tonumber(redis.call('HGET', upload_key(head), 'gen')) or 0,
    tonumber(r[4] or '0') }
end
if state == 'discarded' then return reply() end
if state == 'delivered' or (state == 'sending' and tonumber(r[3]) > now) then return { 'refused', state } end
if state == 'sending' then interrupt(KEY, now) end
note_action(KEY, now, 'discard', state, ARGV[2])
move(KEY, state, 'discarded', now, 'done', now)
redis.call('HDEL', u, 'next')
drop_bytes(KEY)
redis.call('ZADD', P .. 'keep', now, KEY)
leave(KEY, order, now)
return reply()
