-- renew makes up for the account's secret having been another one: uploads get back what answers
-- about credentials cost them, and a breaker that is open for these may be asked at once. ARGV: ""
-- Returns 1 when it was open for these, else 0.
local G, now = P .. 'breaker', now_ms()
local r = redis.call('HMGET', G, 'owed', 'row_kind', 'reason')
for key in string.gmatch(r[1] or '', '%S+') do
  local u = redis.call('HMGET', upload_key(key), 'state', 'refusals')
  if u[1] and not FINAL[u[1]] and tonumber(u[2] or '0') > 0 then redis.call('HINCRBY', upload_key(key), 'refusals', -1) end
end
redis.call('HDEL', G, 'owed')
if r[2] == 'credentials' then redis.call('HDEL', G, 'row_kind', 'row_n', 'row_by') end
if r[3] ~= 'credentials' then return 0 end
redis.call('HDEL', G, 'by')
redis.call('HSET', G, 'until', now, 'step', 0)
return 1
