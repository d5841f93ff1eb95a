-- remove takes delivered and discarded uploads that are older than retention out of the ledger.
-- ARGV: "", limit, retention ms
-- Returns: the number removed.
local till = now_ms() - tonumber(ARGV[3])
local removed = 0

-- forget takes a request id out of the index, unless it was another upload's after.
local function forget(id, key)
  local bucket = bucket_of(id)
  if redis.call('HGET', bucket, id) == key then redis.call('HDEL', bucket, id) end
end

for _, state in ipairs({ 'delivered', 'discarded' }) do
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', P .. 's:' .. state, '-inf', till, 'LIMIT', 0, tonumber(ARGV[2]))) do
    local u = upload_key(key)
    -- What still lies in the vault is let go first: see kept.lua.
    local held = redis.call('HMGET', u, 'vault', 'leaving')
    if (held[1] or '') == '' and not held[2] then
      local order = redis.call('HGET', u, 'order')
      for _, line in ipairs(redis.call('LRANGE', P .. 'a:' .. key, 0, -1)) do
        local id = field(line, F_REQUEST)
        if id and id ~= '' then forget(id, key) end
      end
      for _, id in ipairs(redis.call('LRANGE', P .. 'x:' .. key, 0, -1)) do forget(id, key) end
      if order then redis.call('ZREM', P .. 'o:' .. order, key) end
      redis.call('ZREM', P .. 's:' .. state, key)
      redis.call('ZREM', P .. 'keep', key)
      redis.call('DEL', u, P .. 'a:' .. key, P .. 'x:' .. key)
      removed = removed + 1
    end
  end
end
return removed
