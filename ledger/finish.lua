-- finish records an attempt's outcome and moves its upload on. ARGV: key, the attempt and the plan
-- of what follows (finishArgs in Go), the breaker's settings (finishSettings), jitter, keep ms of a
-- delivered voucher, keep of the dead ms. Returns: { how ("recorded", "late", "repeated"), state, next
-- attempt ms, now, account's fault, next in the order queue or "", its generation, breaker's reason or
-- "", wait ms }
local attempt, keep, keep_dead = cjson.decode(ARGV[2]), tonumber(ARGV[5]), tonumber(ARGV[6])
local number, nonce, outcome, request_id = attempt.number, attempt.nonce, attempt.outcome, attempt.request_id
local u, list, now = upload_key(KEY), P .. 'a:' .. KEY, now_ms()
local r = redis.call('HMGET', u, 'state', 'order', 'run', 'n', 'next', 'inline', 'made', 'worker')
local state, order, run, count = r[1], r[2], r[3], tonumber(r[4] or '0')
if not state then return { 'unknown', '', 0, now, 0, '', 0, '', 0 } end

-- Current: it is the attempt that runs. Else its line is sought; nil when it was trimmed, or when
-- Redis has lost it.
local current = run and field(run, F_NONCE) == nonce
local at, line = number - count - (run and 0 or 1)
if not current then
  line = at < 0 and redis.call('LINDEX', list, at)
  if not line or field(line, F_NONCE) ~= nonce then
    line = nil
    for i, l in ipairs(redis.call('LRANGE', list, 0, -1)) do
      if field(l, F_NONCE) == nonce then at, line = i - 1, l end
    end
  end
end
local before = line and field(line, F_OUTCOME)

local function reply_with(how, account, due, next_key, next_generation)
  local reason, hold = '', 0
  local paused = pause_left(breaker_was().paused_at, breaker.paused_till, now)
  if paused then
    reason, hold = 'paused', paused
  elseif breaker_is_open() then
    local g = redis.call('HMGET', G, 'reason', 'until', 'by')
    reason = g[1]
    if not g[3] then hold = math.max(0, tonumber(g[2]) - now) end
  end
  return { how, state, due, now, account and 1 or 0, next_key or '', next_generation or 0, reason, hold }
end
local function reply(how, account)
  local head = FINAL[state] and head_of(order)
  return reply_with(how, account, tonumber(redis.call('HGET', u, 'next') or '0'), head,
    head and tonumber(redis.call('HGET', upload_key(head), 'gen')))
end
if before and before ~= 'interrupted' then return reply('repeated') end

-- written gives the attempt's line, from its number and what Begin had written down.
local function written(n)
  return table.concat({ n, attempt.generation, attempt.started, nonce, attempt.worker,
    attempt.ended > 0 and attempt.ended or now, attempt.duration, outcome, attempt.http, attempt.code, request_id,
    attempt.develop_id, attempt.error, attempt.msg, attempt.trace }, '\t')
end

local full = not current and not line and redis.call('LLEN', list) == KEEP_ATTEMPTS
local trimmed = full and number < tonumber(field(redis.call('LINDEX', list, 0), F_NUMBER))
local lost = not current and not line and not trimmed
-- Begin was lost and nothing has begun since: the attempt counts as if it had not been.
local adopted = lost and number > count and not FINAL[state] and state ~= 'sending'
local ended
if current then
  ended = written(number)
  append(KEY, ended)
elseif line then
  ended = written(field(line, F_NUMBER))
  redis.call('LSET', list, at, ended)
elseif lost then
  -- Its number may be another's by now.
  count = math.max(count + 1, number)
  redis.call('HSET', u, 'n', count)
  -- What ended the upload stays what is shown of it.
  local last = FINAL[state] and redis.call('LINDEX', list, -1)
  if last then redis.call('HSETNX', u, 'won', last) end
  ended = written(count)
  append(KEY, ended)
else
  ended = written(number)
  if request_id ~= '' and redis.call('HGET', bucket_of(request_id), request_id) ~= KEY then
    redis.call('RPUSH', P .. 'x:' .. KEY, request_id)
  end
end
index_request(request_id, KEY)
local timed = outcome ~= 'invalid' and (outcome ~= 'unavailable' or attempt.http ~= '')
count_attempt(now, attempt.ended > 0 and attempt.ended or now, outcome, timed and attempt.duration, 1)
if before then count_attempt(now, tonumber(field(line, F_ENDED)), before, nil, -1) end

-- A delivery that is known from elsewhere says nothing of how the account is now.
local known = attempt.ended > 0
local probe = end_probe(nonce)
if outcome ~= 'invalid' and not known then note_answer(now, outcome, attempt.http, attempt.code, attempt.msg ~= '' and attempt.msg or attempt.error) end
local account = not known and judge(function()
  local cfg = cjson.decode(ARGV[3])
  cfg.jitter = tonumber(ARGV[4])
  return cfg
end, now, { outcome = outcome, fault = attempt.fault, hold = attempt.hold, probe = probe,
  answer = attempt.http .. ':' .. attempt.code })

-- Late: the attempt was taken for cut off, or trimmed, or the upload was given up on.
local late = not adopted and not current
if late and (outcome ~= 'delivered' or state == 'delivered') then return reply('late', account) end

-- The upload is over: what else runs is taken for cut off until it says otherwise, and this is the
-- attempt that counts.
if late then
  interrupt(KEY, now)
  redis.call('HSET', u, 'won', ended)
end

-- finishes moves the upload to a final state, and gives the next in the order queue.
local function finishes(to)
  move(KEY, state, to, now, 'done', now)
  state = to
  if to == 'delivered' and r[6] and keep == 0 then
    redis.call('UNLINK', bytes_of(KEY))
    end_run(KEY, 'next', 'inline')
    if late then redis.call('ZREM', P .. 'keep', KEY) end
  else
    end_run(KEY, 'next')
    redis.call('ZADD', P .. 'keep', now + (to == 'delivered' and keep or keep_dead), KEY)
  end
  return leave(KEY, order, now)
end

-- A probe costs its upload nothing: only an answer that is beyond doubt its own ends it.
local own = outcome == 'delivered' or outcome == 'invalid' or attempt.fault == 'final'
if outcome == 'refused' and not account and not probe then
  redis.call('HINCRBY', u, 'refusals', 1)
  if attempt.fault == 'credentials' then owe() end
end
if FINAL[attempt.next] and not account and (own or not probe) then
  local before_state = state
  local next_key, next_generation = finishes(attempt.next)
  -- Late, it may have been out of its order queue long since: then its head is asked for.
  if FINAL[before_state] then return reply('late', account) end
  return reply_with(late and 'late' or 'recorded', account, 0, next_key, next_generation)
end

local due = tonumber(r[5] or '0')
if not probe and not account then
  due = now + attempt.delay
  if outcome == 'refused' then
    redis.call('HSET', u, 'soft', 0)
  else
    redis.call('HINCRBY', u, 'soft', 1)
  end
end
move(KEY, state, 'waiting', r[7], 'next', due, 'assigned', now) -- its worker is about to give the task back
end_run(KEY)
state = 'waiting'
return reply('recorded', account)
