-- hold has an upload hold another store key, if it still holds the one whose bytes are lost.
-- ARGV: key, the store key that is lost, the one instead
local u = upload_key(KEY)
if redis.call('HGET', u, 'store') ~= ARGV[2] then return 0 end
redis.call('HSET', u, 'store', ARGV[3])
return 1
