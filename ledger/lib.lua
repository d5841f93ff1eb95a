-- Shared by every script of the ledger: it stands before each of them when they are loaded.
--
-- KEYS[1] is the account's prefix, "voucherd:{vouchers-<account>}:"; all keys of an account are
-- built from it and share its hash tag with asynq's "asynq:{vouchers-<account>}:", so an account
-- lives in one cluster slot. ARGV[1] is the upload's key: its id without the account.
--
--   u:<key>     hash    the upload
--   a:<key>     list    its last attempts, oldest first, one line of tab-separated fields each
--   x:<key>     list    request ids of attempts that were trimmed from a:<key>
--   o:<order>   zset    uploads of one order; score > 0: place in its order queue, its record's `since`; score <= 0: ended
--   s:<state>   zset    uploads by state; score: creation while unfinished, end once final (ms)
--   look        zset    uploads that must have a task, by the time the reconciler looks at them next (ms)
--   keep        zset    uploads whose voucher may leave the store, by the time it may (ms); with a store key behind
--                       it: a voucher that a revived upload no longer holds
--   b:<key>     list    the bytes of a small voucher, in pieces
--   r:<bucket>  hash    request id -> upload key
--   breaker     hash    the account's breaker
--   store       string  identity of the store that holds the account's vouchers
local P = KEYS[1]
local KEY = ARGV[1]
local KEEP_ATTEMPTS = 100
local FINAL = { delivered = true, rejected = true, expired = true, discarded = true }

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function upload_key(key) return P .. 'u:' .. key end

local function bucket_of(request_id)
  return P .. 'r:' .. string.sub(redis.sha1hex(request_id), 1, 3)
end

-- bytes_of gives the key of a small voucher that the ledger keeps itself: it comes and goes with
-- the ledger's own calls.
local function bytes_of(key) return P .. 'b:' .. key end

-- drop_bytes deletes a voucher that the ledger keeps itself.
local function drop_bytes(key)
  redis.call('UNLINK', bytes_of(key))
  redis.call('HDEL', upload_key(key), 'inline')
end

-- head_of gives the key of the upload of this order that is being delivered, or false. An entry
-- whose upload has ended or has no record is put right on the way: it must not hold up those behind
-- it. Joining's record is not yet written.
local function head_of(order, joining)
  local queue = P .. 'o:' .. order
  while true do
    local key = redis.call('ZRANGEBYSCORE', queue, '(0', '+inf', 'LIMIT', 0, 1)[1]
    if not key or key == joining then return key or false end
    local state = redis.call('HGET', upload_key(key), 'state')
    if state and not FINAL[state] then return key end
    if state then redis.call('ZADD', queue, 0, key) else redis.call('ZREM', queue, key) end
  end
end

-- is_head says whether an unfinished upload is the head of its order queue. One that it has lost
-- goes back to its place.
local function is_head(key, order, since)
  local queue = P .. 'o:' .. order
  if redis.call('ZRANGEBYSCORE', queue, '(0', '+inf', 'LIMIT', 0, 1)[1] == key then return true end
  if tonumber(redis.call('ZSCORE', queue, key) or '0') <= 0 then redis.call('ZADD', queue, since, key) end
  return head_of(order) == key
end

-- move puts an upload into another state and keeps the index of states true.
local function move(key, from, to, score)
  if from ~= to then
    if from then redis.call('ZREM', P .. 's:' .. from, key) end
    redis.call('ZADD', P .. 's:' .. to, score, key)
  end
  redis.call('HSET', upload_key(key), 'state', to)
end

-- join puts an upload at the end of its order queue. It gives its place, which the record keeps as
-- `since`, so that a order queue can be made anew from its records, and whether it is the head.
local function join(key, order, now)
  local queue = P .. 'o:' .. order
  local last = tonumber(redis.call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2] or '0')
  local place = math.max(now, last + 1)
  redis.call('ZADD', queue, place, key)
  return place, last <= 0 or head_of(order, key) == key
end

-- assign gives an upload the next generation: of all tasks ever put for it only this one counts.
-- The reconciler looks at it soon, should the task never be put.
local function assign(key, look_at)
  local generation = redis.call('HINCRBY', upload_key(key), 'gen', 1)
  redis.call('HSET', upload_key(key), 'idle', 0)
  redis.call('ZADD', P .. 'look', look_at, key)
  return generation
end

-- leave takes an upload that has ended out of its order queue and, if it was the head, gives the
-- next one its task. It returns the key and the generation of the next, or false.
local function leave(key, order, look_at)
  local queue = redis.call('ZRANGEBYSCORE', P .. 'o:' .. order, '(0', '+inf', 'LIMIT', 0, 2)
  redis.call('ZADD', P .. 'o:' .. order, 0, key)
  redis.call('ZREM', P .. 'look', key)
  local head = queue[1] == key and queue[2] and head_of(order)
  if not head then return false end
  return head, assign(head, look_at)
end

-- field gives the n-th (from 1) field of an attempt's line.
local function field(line, n)
  local from = 1
  for _ = 2, n do
    local tab = string.find(line, '\t', from, true)
    if not tab then return nil end
    from = tab + 1
  end
  local tab = string.find(line, '\t', from, true)
  return string.sub(line, from, tab and tab - 1 or -1)
end

local F_NUMBER, F_STARTED, F_NONCE, F_OUTCOME, F_REQUEST = 1, 3, 4, 8, 11

local function index_request(request_id, key)
  if request_id and request_id ~= '' then redis.call('HSET', bucket_of(request_id), request_id, key) end
end

-- trim keeps the last attempts only; the request ids of the others stay findable.
local function trim(key)
  local list = P .. 'a:' .. key
  while redis.call('LLEN', list) > KEEP_ATTEMPTS do
    local request_id = field(redis.call('LPOP', list), F_REQUEST)
    if request_id and request_id ~= '' then redis.call('RPUSH', P .. 'x:' .. key, request_id) end
  end
end

-- interrupt marks the last attempt as cut off, unless it has ended; it says whether it had not.
local function interrupt(key, now)
  local line = redis.call('LINDEX', P .. 'a:' .. key, -1)
  if not line or field(line, F_OUTCOME) then return false end
  redis.call('LSET', P .. 'a:' .. key, -1, line .. '\t' .. now .. '\t\tinterrupted')
  return true
end
