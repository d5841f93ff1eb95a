-- hold has an upload hold other bytes of its voucher than it has: those are lost, or are encrypted
-- anew, while they are neither being sent nor done with. ARGV: key, store key that it must have ("": the ledger
-- keeps the bytes itself), the one instead, crc32c of the others, ms after which the former leave the
-- blob store (0: they are lost), then the pieces that the ledger keeps itself. Returns 1, or 0 when
-- nothing was changed.
local former, instead, crc, leave_ms, FIRST_PIECE = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), 6
local u = upload_key(KEY)
local r = redis.call('HMGET', u, 'store', 'state', 'inline')
if former ~= '' and r[1] == instead then return 1 end -- the same call again
if (r[1] or '') ~= former then return 0 end
if leave_ms > 0 and (r[2] == 'sending' or r[2] == 'delivered' or r[2] == 'discarded') then return 0 end
if former == '' then
  if not r[3] then return 0 end
  redis.call('DEL', bytes_of(KEY))
  redis.call('RPUSH', bytes_of(KEY), unpack(ARGV, FIRST_PIECE))
else
  redis.call('HSET', u, 'store', instead)
  -- The caller drops the former. Should it die before it can, the reconciler does.
  if leave_ms > 0 then redis.call('ZADD', P .. 'keep', now_ms() + leave_ms, KEY .. ' ' .. former) end
end
redis.call('HSET', u, 'crc', crc)
return 1
