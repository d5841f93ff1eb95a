-- remove takes delivered and discarded uploads that are older than retention out of the ledger. A
-- call's work is bounded by the attempts it reads, not by uploads: one with a long history is taken
-- out in several calls. ARGV: "", limit of uploads and attempts together, retention ms Returns: {
-- uploads removed, attempts removed }; both 0 when nothing is left to do.
local KEEP_ENDS = 8 * 24 * 3600 * 1000 -- ms; for readers of the feed that were away
local left, till = tonumber(ARGV[2]), now_ms() - tonumber(ARGV[3])
local removed, attempts = 0, 0

-- forget takes a request id out of the index, unless it was another upload's after.
local function forget(id, key)
  left, attempts = left - 1, attempts + 1
  if not id or id == '' then return end
  local bucket = bucket_of(id)
  if redis.call('HGET', bucket, id) == key then redis.call('HDEL', bucket, id) end
end

-- trimmed forgets request ids of trimmed attempts, at least one and as many as may be, and says
-- whether that was all.
local function trimmed(key)
  local list, n = P .. 'x:' .. key, 0
  for _, id in ipairs(redis.call('LRANGE', list, 0, left)) do
    forget(id, key)
    n = n + 1
  end
  if n > 0 then redis.call('LTRIM', list, n, -1) end
  return redis.call('EXISTS', list) == 0
end

local function remove(key, state)
  local u = upload_key(key)
  local r = redis.call('HMGET', u, 'order', 'store', 'leaving', 'ref')
  -- What still lies in the store is let go first: see kept.lua.
  if r[2] or r[3] or not trimmed(key) then return end
  for _, line in ipairs(redis.call('LRANGE', P .. 'a:' .. key, 0, -1)) do forget(field(line, F_REQUEST), key) end
  if r[1] then
    local order, find = P .. 'o:' .. r[1], P .. 'find'
    redis.call('ZREM', order, key)
    if redis.call('EXISTS', order) == 0 then redis.call('ZREM', find, '>' .. r[1], '<' .. string.reverse(r[1])) end
    if r[4] then redis.call('ZREM', find, '=' .. r[4] .. '\0' .. key) end
  end
  redis.call('ZREM', P .. 's:' .. state, key)
  redis.call('ZREM', P .. 'keep', key)
  redis.call('DEL', u, P .. 'a:' .. key, bytes_of(key))
  removed = removed + 1
end

for _, state in ipairs({ 'delivered', 'discarded' }) do
  if left <= 0 then break end -- a negative limit would have Redis read them all
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', P .. 's:' .. state, '-inf', till, 'LIMIT', 0, left)) do
    if left <= 0 then break end
    left = left - 1
    remove(key, state)
  end
end
for state in pairs(FINAL) do redis.call('ZREMRANGEBYSCORE', P .. 'e:' .. state, '-inf', now_ms() - KEEP_ENDS) end
return { removed, attempts }
