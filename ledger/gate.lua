-- What the lane's gate learns from an attempt. It stands before finish.lua and release.lua.
--
--   reason      why it is shut; absent: open           since, until   ms
--   step        how often it was shut again            told           the API itself asked for the hold
--   probe       nonce of the attempt that asks          probe_till     when its turn ends by itself, ms
--   by          the one upload whose answers shut it    last_*         the last answer
--   row_outage  attempts in a row without an answer
--   row_kind, row_n, row_by   answers in a row of the credentials or endpoint kind, and the one upload they came from
--   ref, ref_by               the refusal that repeats, and the uploads that had it
local G = P .. 'gate'
local LANE_FAULT = { credentials = true, endpoint = true, refusing = true }

local function gate_open()
  redis.call('HDEL', G, 'reason', 'since', 'until', 'step', 'told', 'probe', 'probe_till', 'by')
end

local function forget_evidence()
  redis.call('HDEL', G, 'row_outage', 'row_kind', 'row_n', 'row_by', 'ref', 'ref_by')
end

-- rest gives the length of the n-th hold (n from 0): base, doubled each time, at most max, with jitter.
local function rest(cfg, reason, n)
  local base, max = cfg.probe_base, cfg.probe_max
  if reason == 'outage' then base, max = cfg.outage_base, cfg.outage_max end
  if reason == 'throttled' then base, max = cfg.throttle_base, cfg.throttle_max end
  return math.floor(math.min(base * 2 ^ math.min(n, 30), max) * (reason == 'throttled' and 1 or cfg.jitter))
end

-- gate_shut holds the lane for `hold` ms, or by the reason's own steps when hold is 0.
local function gate_shut(cfg, now, reason, hold, by)
  local was = redis.call('HMGET', G, 'reason', 'step', 'until')
  local step = 0
  if was[1] == reason then step = tonumber(was[2] or '0') + 1 end
  if hold > 0 or reason == 'throttled' then redis.call('HSET', G, 'told', 1) else redis.call('HDEL', G, 'told') end
  if hold <= 0 then hold = rest(cfg, reason, step) end
  if was[1] then redis.call('HDEL', G, 'by') else redis.call('HSET', G, 'since', now) end
  local till = now + hold
  if was[1] == reason then till = math.max(till, tonumber(was[3])) end
  redis.call('HSET', G, 'reason', reason, 'step', step, 'until', till)
  if by and not was[1] then redis.call('HSET', G, 'by', by) end
  forget_evidence()
end

-- again_shut is a probe's answer that leaves the gate shut: the next one asks later.
local function again_shut(cfg, now, reason)
  local was = redis.call('HMGET', G, 'reason', 'step')
  local step = tonumber(was[2] or '0') + 1
  if was[1] ~= reason then step = 0 end
  redis.call('HSET', G, 'reason', reason, 'step', step, 'until', now + rest(cfg, reason, step))
end

-- weigh counts a refusal at an open gate and says whether it is the lane's fault.
local function weigh(cfg, now, fault, answer)
  local g = redis.call('HMGET', G, 'row_kind', 'row_n', 'row_by', 'ref', 'ref_by')
  if fault ~= 'refusing' then
    local n, by = 1, KEY
    if g[1] == fault then
      n = tonumber(g[2]) + 1
      if g[3] ~= KEY then by = '' end
    end
    redis.call('HDEL', G, 'ref', 'ref_by')
    redis.call('HSET', G, 'row_kind', fault, 'row_n', n, 'row_by', by)
    if n < cfg.row_lane then return false end
    gate_shut(cfg, now, fault, 0, by ~= '' and by or nil)
    return true
  end
  redis.call('HDEL', G, 'row_kind', 'row_n', 'row_by')
  local seen = KEY
  if g[4] == answer then
    seen = g[5]
    if not string.find(seen, KEY, 1, true) then seen = seen .. ' ' .. KEY end
  end
  local _, spaces = string.gsub(seen, ' ', '')
  redis.call('HSET', G, 'ref', answer, 'ref_by', seen)
  if spaces + 1 < cfg.row_refusing then return false end
  gate_shut(cfg, now, fault, 0)
  return true
end

-- judge takes an attempt's verdict into the gate. It returns true when the answer is the lane's fault and not the
-- upload's own.
local function judge(cfg, now, a)
  local reason = redis.call('HGET', G, 'reason')
  if a.verdict == 'delivered' or a.fault == 'final' then
    forget_evidence()
    -- A hold that the API asked for is over when a probe says so, not when a call that left before it comes back.
    if reason and (a.probe or not redis.call('HGET', G, 'told')) then gate_open() end
    return false
  end
  if a.verdict == 'throttled' then
    redis.call('HDEL', G, 'row_outage')
    -- A second answer to calls that left before the gate shut must not lengthen a hold that was not told.
    if reason == 'throttled' and not a.probe and a.hold <= 0 then return true end
    gate_shut(cfg, now, 'throttled', a.hold)
    return true
  end
  if a.verdict == 'unavailable' or a.verdict == 'unclear' then
    if a.hold > 0 then
      gate_shut(cfg, now, 'outage', a.hold)
    elseif reason then
      if a.probe then again_shut(cfg, now, LANE_FAULT[reason] and reason or 'outage') end
    elseif redis.call('HINCRBY', G, 'row_outage', 1) >= cfg.row_outage then
      gate_shut(cfg, now, 'outage', 0)
    end
    return false
  end
  if a.verdict ~= 'refused' then return false end
  redis.call('HDEL', G, 'row_outage')
  if reason and LANE_FAULT[reason] then
    if a.probe then again_shut(cfg, now, a.fault) end
    return true
  end
  if reason and a.probe then gate_open() end
  if reason and not a.probe then return LANE_FAULT[a.fault] or false end
  return weigh(cfg, now, a.fault, a.answer)
end
