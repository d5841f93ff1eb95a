-- kept lists vouchers that leave the vault, or notes that they have left.
-- ARGV: "", limit: returns pairs of key and vault key, of those whose time has come. From here on they count as gone,
--   so that nobody sends an upload again whose voucher is just being deleted.
-- ARGV: "gone", then pairs of key and vault key: notes them as deleted.
if KEY ~= 'gone' then
  local reply = {}
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', P .. 'keep', '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[2]))) do
    local r = redis.call('HMGET', upload_key(key), 'vault', 'leaving')
    if r[1] then
      redis.call('HSET', upload_key(key), 'leaving', r[1])
      redis.call('HDEL', upload_key(key), 'vault')
    end
    table.insert(reply, key)
    table.insert(reply, r[1] or r[2] or '')
  end
  return reply
end
for i = 2, #ARGV, 2 do
  local u = upload_key(ARGV[i])
  local r = redis.call('HMGET', u, 'vault', 'leaving', 'state')
  if r[2] == ARGV[i + 1] then redis.call('HDEL', u, 'leaving') end
  -- An upload that was revived meanwhile holds another voucher.
  if r[1] == ARGV[i + 1] then redis.call('HDEL', u, 'vault') end
  if not r[3] or FINAL[r[3]] then redis.call('ZREM', P .. 'keep', ARGV[i]) end
end
return {}
