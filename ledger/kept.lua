-- kept drops vouchers of the ledger's own whose time has come, and lists those that leave the blob
-- store, or notes that they have left. ARGV: "", limit: returns pairs of key and store key, of
-- those whose time has come, with "" of one that is gone already; empty: there are no more. From
-- here on they count as gone, so that nobody sends an upload again whose voucher is just being deleted.
-- ARGV: "gone", then pairs of key and store key: notes them as deleted.
if KEY ~= 'gone' then
  local reply = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'keep', '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[2]))) do
    local key, leaving = string.match(member, '^(%S+) (.+)$')
    if not key then
      key = member
      local r = redis.call('HMGET', upload_key(key), 'store', 'leaving', 'state', 'inline')
      leaving = r[2]
      if r[4] and FINAL[r[3]] then drop_bytes(key) end
      if r[1] and FINAL[r[3]] then
        leaving = r[1]
        redis.call('HSET', upload_key(key), 'leaving', leaving)
        redis.call('HDEL', upload_key(key), 'store')
      end
    end
    if not leaving then redis.call('ZREM', P .. 'keep', member) end
    table.insert(reply, key)
    table.insert(reply, leaving or '')
  end
  return reply
end
for i = 2, #ARGV, 2 do
  local key, gone = ARGV[i], ARGV[i + 1]
  local r = redis.call('HMGET', upload_key(key), 'store', 'leaving', 'state')
  local store, leaving = r[1], r[2]
  if leaving == gone then leaving = false end
  -- An upload that is to be sent, or was revived meanwhile, holds its voucher.
  if store == gone and FINAL[r[3]] then store = false end
  if r[1] and not store then redis.call('HDEL', upload_key(key), 'store') end
  if r[2] and not leaving then redis.call('HDEL', upload_key(key), 'leaving') end
  local entry = key .. ' ' .. gone
  redis.call('ZREM', P .. 'keep', entry, (store or leaving) and entry or key)
end
return {}
