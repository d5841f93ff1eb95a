-- finish records an attempt's outcome and moves its upload on.
-- ARGV: key, number, nonce, then the attempt's own: duration ms, verdict, http status, code, request id, develop id,
--   error, msg; then the plan: fault, hold ms, next state, delay ms, grace ms, keep ms (of a delivered voucher),
--   keep of the dead ms; then the gate's settings: jitter, row_outage, row_lane, row_refusing, outage base, outage max,
--   probe base, probe max, throttle base, throttle max
-- Returns: { how ("recorded", "late", "repeated"), state, next attempt ms, now, lane's fault, next in line or "",
--   its generation, gate's reason or "", wait ms }
local number, nonce = tonumber(ARGV[2]), ARGV[3]
local verdict, request_id = ARGV[5], ARGV[8]
local plan = { fault = ARGV[12], hold = tonumber(ARGV[13]), state = ARGV[14], delay = tonumber(ARGV[15]),
  grace = tonumber(ARGV[16]), keep = tonumber(ARGV[17]), keep_dead = tonumber(ARGV[18]) }
local cfg = { jitter = tonumber(ARGV[19]), row_outage = tonumber(ARGV[20]), row_lane = tonumber(ARGV[21]),
  row_refusing = tonumber(ARGV[22]), outage_base = tonumber(ARGV[23]), outage_max = tonumber(ARGV[24]),
  probe_base = tonumber(ARGV[25]), probe_max = tonumber(ARGV[26]),
  throttle_base = tonumber(ARGV[27]), throttle_max = tonumber(ARGV[28]) }
local u, list, now = upload_key(KEY), P .. 'a:' .. KEY, now_ms()
local r = redis.call('HMGET', u, 'state', 'order', 'nonce', 'n', 'next', 'gen')
local state, order, current = r[1], r[2], r[3] == nonce
if not state then return { 'unknown', '', 0, now, 0, '', 0, '', 0 } end

-- The attempt's own line; nil when it was trimmed since.
local at = number - tonumber(r[4]) - 1
local line = redis.call('LINDEX', list, at)
if line and field(line, F_NONCE) ~= nonce then line = nil end
local before = line and field(line, F_VERDICT)

local function reply(how, lane)
  local next_key, next_generation = '', 0
  local head = FINAL[state] and head_of(order)
  if head then next_key, next_generation = head, tonumber(redis.call('HGET', upload_key(head), 'gen')) end
  local g = redis.call('HMGET', P .. 'gate', 'reason', 'until', 'by')
  local due = tonumber(redis.call('HGET', u, 'next') or '0')
  return { how, state, due, now, lane and 1 or 0, next_key, next_generation, g[1] or '',
    g[1] and not g[3] and math.max(0, tonumber(g[2]) - now) or 0 }
end
if before and before ~= 'interrupted' then return reply('repeated') end

local head = line and string.match(line, '^[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*') or number .. '\t\t\t' .. nonce .. '\t'
local ended = head .. '\t' .. now .. '\t' .. table.concat(ARGV, '\t', 4, 11)
if line then
  redis.call('LSET', list, at, ended)
elseif request_id ~= '' and redis.call('HGET', bucket_of(request_id), request_id) ~= KEY then
  redis.call('RPUSH', P .. 'x:' .. KEY, request_id)
end
index_request(request_id, KEY)

local probe = redis.call('HGET', P .. 'gate', 'probe') == nonce
if probe then redis.call('HDEL', P .. 'gate', 'probe', 'probe_till') end
if verdict ~= 'invalid' then
  redis.call('HSET', P .. 'gate', 'last_at', now, 'last_verdict', verdict, 'last_http', ARGV[6], 'last_code', ARGV[7],
    'last_msg', ARGV[11] ~= '' and ARGV[11] or ARGV[10])
end
local lane = judge(cfg, now, { verdict = verdict, fault = plan.fault, hold = plan.hold, probe = probe,
  answer = ARGV[6] .. ':' .. ARGV[7] })

-- Late: the attempt was taken for cut off, or trimmed, or the upload was given up on.
local late = before == 'interrupted' or not current or state ~= 'sending'
if late and (verdict ~= 'delivered' or state == 'delivered') then return reply('late', lane) end

-- The upload is over: what else runs is taken for cut off until it says otherwise, and this is the attempt that counts.
if late then
  interrupt(KEY, now)
  redis.call('HSET', u, 'won', ended)
end

-- finishes moves the upload to a final state.
local function finishes(to, keep)
  move(KEY, state, to, now)
  redis.call('ZADD', P .. 's:' .. to, now, KEY)
  redis.call('HSET', u, 'done', now)
  redis.call('HDEL', u, 'next', 'nonce', 'lease', 'was', 'idle')
  redis.call('ZADD', P .. 'keep', now + keep, KEY)
  leave(KEY, order, now + plan.grace)
  state = to
end

-- A probe costs its upload nothing: only an answer that is beyond doubt its own ends it.
local own = verdict == 'delivered' or verdict == 'invalid' or plan.fault == 'final'
if verdict == 'refused' and not lane and not probe then redis.call('HINCRBY', u, 'refusals', 1) end
if FINAL[plan.state] and not lane and (own or not probe) then
  finishes(plan.state, plan.state == 'delivered' and plan.keep or plan.keep_dead)
  return reply(late and 'late' or 'recorded', lane)
end

local due = tonumber(r[5] or '0')
if not probe and not lane then
  due = now + plan.delay
  if verdict == 'refused' then
    redis.call('HSET', u, 'soft', 0)
  else
    redis.call('HINCRBY', u, 'soft', 1)
  end
end
move(KEY, state, 'waiting', redis.call('ZSCORE', P .. 's:' .. state, KEY))
redis.call('HSET', u, 'next', due, 'idle', 0)
redis.call('HDEL', u, 'nonce', 'lease', 'was')
redis.call('ZADD', P .. 'look', math.max(due, now) + plan.grace, KEY)
state = 'waiting'
return reply('recorded', lane)
