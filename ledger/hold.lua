-- hold has an upload hold another store key, if it still holds the one whose bytes are lost.
-- ARGV: key, the store key that is lost, the one instead, crc32c of that
local u = upload_key(KEY)
if redis.call('HGET', u, 'store') ~= ARGV[2] then return 0 end
redis.call('HSET', u, 'store', ARGV[3], 'crc', ARGV[4])
return 1
