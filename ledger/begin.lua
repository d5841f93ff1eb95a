-- begin writes an attempt down before it is sent, or says why it must not start. ARGV: key,
-- generation, nonce, worker, its instance, lease ms, bring: most bytes of a voucher of the ledger
-- itself to give along, µs between two attempts (0: no rate), turn that the worker has. Returns: { "started", now, number, started at, probe, interrupted, order,
-- user, sha, size, store key, since, refusals, soft, crc, inline, pieces of the voucher }, or
-- { "breaker open", reason, wait ms }, { "turn", the turn, wait ms }, { "busy", wait ms },
-- { "early", wait ms }, { "stale", why }.
local generation, nonce, lease = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[6])
local u, now = upload_key(KEY), now_ms()
local r = redis.call('HMGET', u, 'state', 'gen', 'order', 'run', 'lease', 'next', 'n', 'v', 'made', 'user', 'sha', 'size',
  'store', 'since', 'refusals', 'soft', 'crc', 'inline')
local state, order, number = r[1], r[3], tonumber(r[7] or '0')
local size, store, soft = tonumber(r[12]), r[13] or '', tonumber(r[16] or '0')

if not state then return { 'stale', 'unknown' } end
if tonumber(r[8] or '1') > 1 then return { 'newer' } end
local repeated = state == 'sending' and r[4] and field(r[4], F_NONCE) == nonce
if not repeated then
  if FINAL[state] then return { 'stale', state } end
  if tonumber(r[2]) ~= generation then return { 'stale', 'generation' } end
  if not is_head(KEY, order, r[14]) then return { 'stale', 'order queue' } end
  if state == 'sending' and tonumber(r[5]) > now then return { 'busy', tonumber(r[5]) - now } end
  -- asynq's clock has a grain of one second and is another host's: up to a second early is on time.
  local due = tonumber(r[6] or '0')
  if due - now > 1000 then return { 'early', due - now } end
end

local breaker = redis.call('HMGET', P .. 'breaker', 'reason', 'until', 'probe', 'probe_till', 'by', 'paused_at',
  'paused_till')
local paused = pause_left(breaker[6], breaker[7], now)
if paused and not repeated then return { 'breaker open', 'paused', paused } end
local probe = breaker[1] and breaker[3] == nonce
if breaker[1] and not repeated then
  local wait, by = tonumber(breaker[2]) - now, breaker[5]
  -- One upload alone opened the breaker: it waits by itself, and any other may ask at once whether
  -- the account is well. It asks again soon, since that may be by then.
  if by == KEY and wait > 0 then return { 'early', math.min(wait, 5000) } end
  if breaker[3] and tonumber(breaker[4]) > now then return { 'breaker open', breaker[1], 1000 } end
  if not by and wait > 0 then return { 'breaker open', breaker[1], wait } end
  probe = true
end
if not repeated then
  local every = tonumber(ARGV[8])
  local turn, wait
  if every > 0 then turn, wait = wait_turn(every, tonumber(ARGV[9])) end
  if turn then return { 'turn', turn, wait } end
  if probe then redis.call('HSET', P .. 'breaker', 'probe', nonce, 'probe_till', now + lease) end
end

local interrupted, started = 0, now
if repeated then
  started = tonumber(field(r[4], F_STARTED))
else
  if state == 'sending' and interrupt(KEY, now) then
    soft = redis.call('HINCRBY', u, 'soft', 1)
    interrupted = 1
  end
  number = number + 1
  if state ~= 'sending' then
    unindex(KEY, state)
    redis.call('ZADD', P .. 's:sending', r[9], KEY)
  end
  local change = { 'state', 'sending', 'n', number, 'run', table.concat({ number, generation, now, nonce }, '\t'),
    'worker', ARGV[4], 'instance', ARGV[5], 'lease', now + lease }
  if state ~= 'queued' then -- as release finds it again; an attempt that was cut off has failed
    table.insert(change, 'was')
    table.insert(change, 'waiting')
  end
  redis.call('HSET', u, unpack(change))
end
local pieces = {}
if r[18] and size <= tonumber(ARGV[7]) then pieces = redis.call('LRANGE', bytes_of(KEY), 0, -1) end
return { 'started', now, number, started, probe and 1 or 0, interrupted, order, r[10] or '', r[11], size, store,
  tonumber(r[14]), tonumber(r[15] or '0'), soft, r[17] or '', r[18] and 1 or 0, pieces }
