-- What the account's breaker learns from an attempt. It stands before finish.lua and release.lua.
--
--   reason      why it is open; absent: closed          since, until   ms
--   step        how often it opened again              bound          until then not even a success closes it, ms
--   probe       nonce of the attempt that asks         probe_till     when its turn ends by itself, ms
--   by          the one upload whose answers, or voucher, opened it: it alone waits   last_*   the last answer
--   paused_at, paused_till, paused_for, paused_by   a person's hold: since, until (0: no end), why and who. It
--                       stands beside the reason, and comes first
--   row_outage  attempts in a row without an answer
--   row_kind, row_n, row_by   answers in a row of the credentials or endpoint kind, and the one upload they came from
--   owed        uploads that answers of the credentials kind were counted against, the last of them: see renew.lua
--   ref, ref_by               the refusal that repeats, and the uploads that had it
local G = P .. 'breaker'
local ACCOUNT_FAULT = { credentials = true, endpoint = true, refusing = true }

-- breaker is the record as it was when the script began, read once when first asked for: most often
-- the account is well and nothing in it has to change. What is written since is noted in is_open
-- alone.
local breaker, is_open
local function breaker_was()
  if not breaker then
    local r = redis.call('HMGET', G, 'reason', 'bound', 'probe', 'row_outage', 'row_kind', 'ref', 'last_at', 'last_outcome',
      'last_http', 'last_code', 'last_msg', 'paused_at', 'paused_till')
    breaker = { reason = r[1], bound = tonumber(r[2] or '0'), probe = r[3], evidence = r[4] or r[5] or r[6],
      last_at = tonumber(r[7] or '0'), last = { r[8], r[9], r[10], r[11] },
      paused_at = r[12], paused_till = r[13] }
    is_open = r[1] and true or false
  end
  return breaker
end

local function breaker_is_open()
  breaker_was()
  return is_open
end

-- end_probe says whether the attempt was the account's probe, and if so ends its turn.
local function end_probe(nonce)
  if breaker_was().probe ~= nonce then return false end
  redis.call('HDEL', G, 'probe', 'probe_till')
  return true
end

-- note_answer keeps the account's last answer; one like the last is noted once a second.
local function note_answer(now, ...)
  local last, same = breaker_was().last, breaker.last_at > now - 1000
  for i, v in ipairs({ ... }) do same = same and last[i] == v end
  if same then return end
  local outcome, http, code, msg = ...
  redis.call('HSET', G, 'last_at', now, 'last_outcome', outcome, 'last_http', http, 'last_code', code, 'last_msg', msg)
end

local function close_breaker()
  redis.call('HDEL', G, 'reason', 'since', 'until', 'step', 'bound', 'probe', 'probe_till', 'by')
  is_open = false
end

-- owe notes that an answer about credentials was counted against the upload, although the secret may
-- have been wrong.
local OWED_MOST = 50
local function owe()
  local owed = { KEY }
  for key in string.gmatch(redis.call('HGET', G, 'owed') or '', '%S+') do
    if #owed < OWED_MOST then table.insert(owed, key) end
  end
  redis.call('HSET', G, 'owed', table.concat(owed, ' '))
end

local function forget_evidence()
  if breaker_was().evidence then redis.call('HDEL', G, 'row_outage', 'row_kind', 'row_n', 'row_by', 'ref', 'ref_by') end
end

-- rest gives the length of the n-th hold (n from 0): base, doubled each time, at most max, with
-- jitter.
local function rest(cfg, reason, n)
  local base, max = cfg.probe_base, cfg.probe_max
  if reason == 'outage' then base, max = cfg.outage_base, cfg.outage_max end
  if reason == 'throttled' then base, max = cfg.throttle_base, cfg.throttle_max end
  return math.floor(math.min(base * 2 ^ math.min(n, 30), max) * (reason == 'throttled' and 1 or cfg.jitter))
end

-- open_breaker holds the account for a.hold ms, as the API said, or by the reason's own steps when
-- that is 0. A closed breaker that one upload alone opens names it in `by`.
local function open_breaker(cfg, now, reason, a, by)
  local was = redis.call('HMGET', G, 'reason', 'step', 'until', 'by', 'bound')
  local old, step = was[1], 0
  if old == reason then step = tonumber(was[2]) + (a.probe and 1 or 0) end
  local till = now + (a.hold > 0 and a.hold or rest(cfg, reason, step))
  if a.hold > 0 or reason == 'throttled' then
    redis.call('HSET', G, 'bound', math.max(till, tonumber(was[5] or '0')))
  end
  if old then
    -- What left before the breaker opened can only make the hold longer, and no fault of the
    -- account's another.
    till = math.max(till, tonumber(was[3]))
    if ACCOUNT_FAULT[old] and not a.probe then reason, step = old, tonumber(was[2]) end
    if was[4] ~= KEY or not a.probe or a.hold > 0 then redis.call('HDEL', G, 'by') end
  else
    redis.call('HSET', G, 'since', now)
    if by then redis.call('HSET', G, 'by', by) end
  end
  redis.call('HSET', G, 'reason', reason, 'step', step, 'until', till)
  note_step(now, reason)
  is_open = true
  redis.call('HDEL', G, 'row_outage', 'row_kind', 'row_n', 'row_by', 'ref', 'ref_by')
end

-- weigh counts a refusal at a closed breaker and says whether it is the account's fault.
local function weigh(cfg, now, a)
  local g = redis.call('HMGET', G, 'row_kind', 'row_n', 'row_by', 'ref', 'ref_by')
  if a.fault ~= 'refusing' then
    local n, by = 1, KEY
    if g[1] == a.fault then
      n = tonumber(g[2]) + 1
      if g[3] ~= KEY then by = '' end
    end
    redis.call('HDEL', G, 'ref', 'ref_by')
    redis.call('HSET', G, 'row_kind', a.fault, 'row_n', n, 'row_by', by)
    if n < cfg.row_account then return false end
    open_breaker(cfg, now, a.fault, a, by ~= '' and by or nil)
    return true
  end
  redis.call('HDEL', G, 'row_kind', 'row_n', 'row_by')
  local seen = KEY
  if g[4] == a.answer then
    seen = g[5]
    if not string.find(seen, KEY, 1, true) then seen = seen .. ' ' .. KEY end
  end
  local _, spaces = string.gsub(seen, ' ', '')
  redis.call('HSET', G, 'ref', a.answer, 'ref_by', seen)
  if spaces + 1 < cfg.row_refusing then return false end
  open_breaker(cfg, now, a.fault, a)
  return true
end

-- judge takes an attempt's outcome into the breaker. It returns true when the answer is the
-- account's fault and not the upload's own. Settings gives the breaker's, which a success needs not.
local function judge(settings, now, a)
  local reason, bound = breaker_was().reason, breaker.bound > now
  if a.outcome == 'delivered' or a.fault == 'final' then
    forget_evidence()
    -- Another call's success does not take back what the API said of when to call again.
    if reason and not bound then close_breaker() end
    return false
  end
  local cfg = settings()
  if a.outcome == 'throttled' then
    redis.call('HDEL', G, 'row_outage')
    -- A second answer to calls that left before the breaker opened must not lengthen a hold that
    -- was not told.
    if reason == 'throttled' and not a.probe and a.hold <= 0 then return true end
    open_breaker(cfg, now, 'throttled', a)
    return true
  end
  if a.outcome == 'unavailable' or a.outcome == 'unclear' then
    if a.hold > 0 then
      open_breaker(cfg, now, 'outage', a)
    elseif reason then
      if a.probe then open_breaker(cfg, now, ACCOUNT_FAULT[reason] and reason or 'outage', a) end
    elseif redis.call('HINCRBY', G, 'row_outage', 1) >= cfg.row_outage then
      open_breaker(cfg, now, 'outage', a)
    end
    return false
  end
  if a.outcome ~= 'refused' then return false end
  redis.call('HDEL', G, 'row_outage')
  if reason and ACCOUNT_FAULT[reason] then
    if a.probe then open_breaker(cfg, now, ACCOUNT_FAULT[a.fault] and a.fault or reason, a) end
    return true
  end
  if reason and not a.probe then return ACCOUNT_FAULT[a.fault] or false end
  if reason and not bound then close_breaker() end
  if not ACCOUNT_FAULT[a.fault] then return false end
  return weigh(cfg, now, a)
end
