-- pause holds the account until a person resumes it, or until the end that was given. ARGV: "",
-- reason, who, ms (0: no end)
local now, long = now_ms(), tonumber(ARGV[4])
redis.call('HSET', P .. 'breaker', 'paused_at', now, 'paused_till', long > 0 and now + long or 0, 'paused_for', ARGV[2],
  'paused_by', ARGV[3])
return 1
