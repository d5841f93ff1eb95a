-- open records an upload, or finds the one that is there already. ARGV: key, order, user,
-- reference, sha256, size, media type, store key, again, replace, ended ("" or the final state in
-- which it is recorded), keep of the dead ms, grace ms, crc32c or "", token of this call, who and why,
-- message of the first task or "", then the pieces of a voucher that the ledger keeps itself, without
-- a store key. The record keeps the token as `inline` while it holds such a voucher, and as `again`,
-- which outlives the voucher, of a call that may revive it. Returns: what ("created", "duplicate",
-- "revived"), generation of the task to put (0: none), the store key to drop ("": none), now, its
-- place in its order queue when it was made or revived, the store key that is held, how many tasks are
-- pending once its first was put with it.
local order, store, again, replace, final = ARGV[2], ARGV[8], ARGV[9] == '1', ARGV[10] == '1', ARGV[11]
local keep_dead, grace, crc, token, FIRST_PIECE = tonumber(ARGV[12]), tonumber(ARGV[13]), ARGV[14], ARGV[15], 18
local u, now = upload_key(KEY), now_ms()
local was = redis.call('HMGET', u, 'state', 'store', 'leaving', 'gen', 'made', 'since', 'inline', 'ref', 'again')
local state = was[1]
local ended = state and FINAL[state]

-- task gives the generation whose task the caller puts. Putting the head's once more heals a
-- producer that died before it put it; what the indexes have lost of the upload is put back.
local function task()
  if ended then return 0 end
  local head = is_head(KEY, order, was[6])
  if state == 'queued' then
    place_queued(KEY, head, was[5])
  else
    redis.call('ZADD', P .. 's:' .. state, 'NX', was[5], KEY)
  end
  if not head then return 0 end
  local generation = tonumber(redis.call('HGET', u, 'gen') or '0')
  return generation > 0 and generation or assign(KEY, now)
end

-- The same call again (a reply that was lost): all is done. Most often the voucher it put is the one
-- that is held; another is put in vain.
if state and (was[9] == token or was[7] == token or store ~= '' and was[2] == store) then
  local vain = store ~= was[2] and store ~= was[3] and store or ''
  return { 'created', task(), vain, now, was[6], vain ~= '' and not ended and was[2] or '' }
end
-- What has ended is not sent, and so takes nobody's place.
if ended and not again then return { 'duplicate', 0, store, now } end

if replace then
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'o:' .. order, '(0', '+inf')) do
    local r = redis.call('HMGET', upload_key(other), 'state', 'n')
    if other ~= KEY and r[1] == 'queued' and (r[2] or '0') == '0' then
      note_action(other, now, 'replace', 'queued', ARGV[16])
      move(other, 'queued', 'discarded', now, 'done', now)
      drop_bytes(other)
      redis.call('ZADD', P .. 'keep', now, other)
      leave(other, order, now)
    end
  end
end
if state and not ended then return { 'duplicate', task(), store, now, was[6], was[2] or '' } end

if was[7] then drop_bytes(KEY) end
if store == '' then redis.call('RPUSH', bytes_of(KEY), unpack(ARGV, FIRST_PIECE)) end
local record = { 'v', 1, 'order', order, 'sha', ARGV[5], 'size', ARGV[6], 'kind', ARGV[7] }
local function note(field, value) record[#record + 1], record[#record + 2] = field, value end
-- Enqueued again, it is the upload that it was: only its budget, age limit and place are new.
local made = was[5] or now
note('made', made)
if state then
  note_action(KEY, now, 'again', state, ARGV[16])
  note_end(KEY, state)
  redis.call('HDEL', u, 'refusals', 'soft', 'next', 'done', 'won', 'leaving', 'store')
  redis.call('ZREM', P .. 'keep', KEY)
  if was[8] and ARGV[4] ~= '' then redis.call('ZREM', P .. 'find', '=' .. was[8] .. '\0' .. KEY) end
end
index_search(KEY, order, ARGV[4])
if store == '' then note('inline', token) else note('store', store) end
if again then note('again', token) end
if crc ~= '' then note('crc', crc) end
if ARGV[3] ~= '' then note('user', ARGV[3]) end
if ARGV[4] ~= '' then note('ref', ARGV[4]) end
if final ~= '' then
  note('since', now)
  note('done', now)
  redis.call('HSET', u, unpack(record))
  redis.call('ZADD', P .. 'o:' .. order, 0, KEY)
  redis.call('ZADD', P .. 'keep', now + keep_dead, KEY)
  move(KEY, state, final, now)
  return { 'created', 0, '', now, now }
end
local drop = was[2] or was[3] or ''
-- The caller drops the old voucher. Should it die before it can, the reconciler does.
if drop ~= '' then redis.call('ZADD', P .. 'keep', now + grace, KEY .. ' ' .. drop) end
if state then unindex(KEY, state) end
note('state', 'queued')
local generation = 0
local place, head = join(KEY, order, now)
redis.call('ZADD', P .. (head and 's:queued' or 's:behind'), made, KEY)
note('since', place)
if head then -- as assign does, in the one write of the record
  generation = tonumber(was[4] or '0') + 1
  note('gen', generation)
  if state then note('assigned', now) end
end
redis.call('HSET', u, unpack(record))
-- The first task is put as asynq's own script does it.
local id, pending = task_of(KEY, generation), 0
if head and not state and ARGV[17] ~= '' and redis.call('EXISTS', A .. 't:' .. id) == 0 then
  redis.call('HSET', A .. 't:' .. id, 'msg', ARGV[17], 'state', 'pending', 'pending_since', now .. '000000')
  pending = redis.call('LPUSH', A .. 'pending', id)
end
return { state and 'revived' or 'created', generation, drop, now, place, '', pending }
