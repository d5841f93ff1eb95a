-- kept lists vouchers that leave the vault, or notes that they have left.
-- ARGV: "", limit: returns pairs of key and vault key, of those whose time has come. From here on they count as gone,
--   so that nobody sends an upload again whose voucher is just being deleted.
-- ARGV: "gone", then pairs of key and vault key: notes them as deleted.
if KEY ~= 'gone' then
  local reply = {}
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', P .. 'keep', '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[2]))) do
    local r = redis.call('HMGET', upload_key(key), 'vault', 'leaving', 'state')
    local leaving = r[2]
    -- An upload that was revived has a voucher that leaves and another that stays.
    if not leaving and r[1] and FINAL[r[3]] then
      leaving = r[1]
      redis.call('HSET', upload_key(key), 'leaving', leaving)
      redis.call('HDEL', upload_key(key), 'vault')
    end
    if leaving then
      table.insert(reply, key)
      table.insert(reply, leaving)
    else
      redis.call('ZREM', P .. 'keep', key)
    end
  end
  return reply
end
for i = 2, #ARGV, 2 do
  local key, gone = ARGV[i], ARGV[i + 1]
  local u = upload_key(key)
  local r = redis.call('HMGET', u, 'vault', 'leaving', 'state')
  local final = r[3] and FINAL[r[3]]
  if r[2] == gone then redis.call('HDEL', u, 'leaving') end
  if r[1] == gone and final then redis.call('HDEL', u, 'vault') end
  local leaves = r[2] and r[2] ~= gone
  local stays = r[1] and r[1] ~= gone
  if not leaves and not (stays and final) then redis.call('ZREM', P .. 'keep', key) end
end
return {}
