-- open records an upload, or finds the one that is there already.
-- ARGV: key, order, user, reference, sha256, size, media type, vault key, again, replace, grace ms
-- Returns: what ("created", "duplicate", "revived"), generation of the task to put (0: none), the vault key to drop
-- ("" : none), then pairs of key and vault key for each upload that was replaced.
local order, vault, again, replace, grace = ARGV[2], ARGV[8], ARGV[9] == '1', ARGV[10] == '1', tonumber(ARGV[11])
local u, now = upload_key(KEY), now_ms()
local replaced = {}

if replace then
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'o:' .. order, '(0', '+inf')) do
    local r = redis.call('HMGET', upload_key(other), 'state', 'n', 'vault')
    if other ~= KEY and r[1] == 'queued' and (r[2] or '0') == '0' then
      move(other, 'queued', 'discarded', now)
      redis.call('HSET', upload_key(other), 'done', now)
      redis.call('ZADD', P .. 'keep', now, other)
      leave(other, order, now + grace)
      table.insert(replaced, other)
      table.insert(replaced, r[3] or '')
    end
  end
end

local function answer(what, generation, drop)
  local reply = { what, generation, drop }
  for _, v in ipairs(replaced) do table.insert(reply, v) end
  return reply
end

local was = redis.call('HMGET', u, 'state', 'vault', 'gen')
local state = was[1]
if state and not (again and FINAL[state]) then
  -- The same call again (a reply that was lost): the voucher it put is the one that is held.
  if was[2] == vault then return answer('created', tonumber(was[3]), '') end
  if FINAL[state] or head_of(order) ~= KEY then return answer('duplicate', 0, vault) end
  -- Putting the head's task once more heals a producer that died before it put it.
  return answer('duplicate', tonumber(was[3]), vault)
end

redis.call('HSET', u, 'v', 1, 'order', order, 'sha', ARGV[5], 'size', ARGV[6], 'kind', ARGV[7], 'vault', vault,
  'made', now, 'since', now)
if ARGV[3] ~= '' then redis.call('HSET', u, 'user', ARGV[3]) end
if ARGV[4] ~= '' then redis.call('HSET', u, 'ref', ARGV[4]) end
redis.call('HDEL', u, 'refusals', 'soft', 'next', 'done')
redis.call('ZREM', P .. 'keep', KEY)
move(KEY, state, 'queued', now)
local generation = 0
if join(KEY, order) then generation = assign(KEY, now + grace) end
return answer(state and 'revived' or 'created', generation, state and was[2] or '')
