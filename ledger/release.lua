-- release takes back an attempt that sent nothing, and may hold the account because its store is
-- away. ARGV: key, number, nonce, reason ("" or "store"), grace ms, jitter, probe base ms, probe
-- max ms Returns 1, or 0 when the attempt is not the running one.
local number, nonce, reason, grace = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local u, now = upload_key(KEY), now_ms()
local probe = redis.call('HGET', P .. 'breaker', 'probe') == nonce
if probe then redis.call('HDEL', P .. 'breaker', 'probe', 'probe_till') end
local open = redis.call('HGET', P .. 'breaker', 'reason')
if reason ~= '' and (probe or not open) then
  local cfg = { jitter = tonumber(ARGV[6]), probe_base = tonumber(ARGV[7]), probe_max = tonumber(ARGV[8]) }
  open_breaker(cfg, now, reason, { hold = 0, probe = probe })
end

local r = redis.call('HMGET', u, 'state', 'nonce', 'n', 'was', 'next', 'made')
if r[1] ~= 'sending' or r[2] ~= nonce or tonumber(r[3]) ~= number then return 0 end
if field(redis.call('LINDEX', P .. 'a:' .. KEY, -1) or '', F_NONCE) == nonce then redis.call('RPOP', P .. 'a:' .. KEY) end
local back = r[4] or 'queued'
move(KEY, 'sending', back, r[6])
redis.call('HSET', u, 'n', number - 1)
redis.call('HDEL', u, 'nonce', 'lease', 'was')
redis.call('ZADD', P .. 'look', math.max(now, tonumber(r[5] or '0')) + grace, KEY)
return 1
