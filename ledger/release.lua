-- release takes back an attempt that sent nothing, and may hold the account, because its store is
-- away for instance: at first this upload alone, until another fares the same. ARGV: key, nonce,
-- reason (or ""), jitter, probe base ms, probe max ms
-- Returns 1, or 0 when the attempt is not the running one.
local nonce, reason = ARGV[2], ARGV[3]
local u, now = upload_key(KEY), now_ms()
local probe = redis.call('HGET', P .. 'breaker', 'probe') == nonce
if probe then redis.call('HDEL', P .. 'breaker', 'probe', 'probe_till') end
local open = redis.call('HMGET', P .. 'breaker', 'reason', 'by')
if reason ~= '' and (probe or not open[1]) then
  local cfg = { jitter = tonumber(ARGV[4]), probe_base = tonumber(ARGV[5]), probe_max = tonumber(ARGV[6]) }
  open_breaker(cfg, now, reason, { hold = 0, probe = probe }, KEY)
elseif open[1] == reason and open[2] and open[2] ~= KEY then
  redis.call('HDEL', P .. 'breaker', 'by')
end

local r = redis.call('HMGET', u, 'state', 'run', 'n', 'was', 'made')
if r[1] ~= 'sending' or not r[2] or field(r[2], F_NONCE) ~= nonce then return 0 end
move(KEY, 'sending', r[4] or 'queued', r[5], 'n', r[3] - 1)
end_run(KEY)
return 1
