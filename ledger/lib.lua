-- Shared by every script of the ledger: it stands before each of them when they are loaded.
--
-- KEYS[1] is the account's prefix, "voucherd:{vouchers-<account>}:"; all keys of an account are
-- built from it and share its hash tag with asynq's "asynq:{vouchers-<account>}:", so an account
-- lives in one cluster slot. ARGV[1] is the upload's key: its id without the account.
--
--   u:<key>     hash    the upload, and its attempt while one runs (see end_run)
--   a:<key>     list    its last attempts that ended, oldest first, a line of tab-separated fields each
--   x:<key>     list    request ids of attempts that were trimmed from a:<key>
--   o:<order>   zset    uploads of one order; score > 0: place in its order queue, its record's
--                       `since`; score <= 0: ended. The last that ended may keep its place until
--                       another joins.
--   s:<state>   zset    uploads by state; score: creation while unfinished, end once final (ms)
--   e:<state>   zset    ends of uploads that were sent again or discarded since, "<key> <end>", by their
--                       end (ms); so what came to this end is still counted
--   s:behind    zset    queued uploads that are not the head of their order queue, instead of
--                       s:queued: what is in s:queued, s:sending and s:waiting must have a task, and
--                       nothing else must
--   keep        zset    ended uploads that hold a voucher, by the time it may leave (ms); with a
--                       store key behind it: a voucher that a revived upload no longer holds
--   b:<key>     list    the bytes of a small voucher, in pieces
--   r:<bucket>  hash    request id -> upload key
--   find        zset    what a search goes by, in lexical order: ">" with an order id, "<" with it
--                       backwards, "=" with a reference, a NUL and the upload's key
--   c:<m|q>:<n> hash    what happened lately, by steps of time (see COUNTS)
--   breaker     hash    the account's breaker
--   workers     hash    instance of a worker -> what it says of itself with each beat
--   reconciler  string  whose turn it is to reconcile the account
--   rule        string  sign rule of a call that a gateway refused: parts, unit, when (ms)
--   store       string  identity of the store that holds the account's vouchers
--   awaited     string  empty: what Go writes before it waits for replicas
local P = KEYS[1]
local KEY = ARGV[1]
local KEEP_ATTEMPTS = 100
local KEEP_ACTIONS = 50
local FINAL = { delivered = true, rejected = true, expired = true, discarded = true }

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- asynq's keys (v0.26) of the account: t:<task id> holds a task's state, and each state has its list
-- or set.
local A = 'asynq:' .. string.match(P, '{.*}') .. ':'
local ACCOUNT = string.match(P, '{vouchers%-(.*)}')

local function task_of(key, generation) return ACCOUNT .. '-' .. key .. '.' .. generation end

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

-- is_head says whether an unfinished upload is the head of its order queue, and whether it had to
-- go back to its place there, because the order queue was lost.
local function is_head(key, order, since)
  local queue = P .. 'o:' .. order
  if redis.call('ZRANGEBYSCORE', queue, '(0', '+inf', 'LIMIT', 0, 1)[1] == key then return true, false end
  local lost = tonumber(redis.call('ZSCORE', queue, key) or '0') <= 0
  if lost then redis.call('ZADD', queue, since, key) end
  return head_of(order) == key, lost
end

-- unindex takes an upload out of the index of a state.
local function unindex(key, state)
  if redis.call('ZREM', P .. 's:' .. state, key) == 0 and state == 'queued' then redis.call('ZREM', P .. 's:behind', key) end
end

-- move puts an upload into another state, with other fields of its record, and keeps the index of
-- states true.
local function move(key, from, to, score, ...)
  if from ~= to then
    if from then unindex(key, from) end
    redis.call('ZADD', P .. 's:' .. to, score, key)
  end
  redis.call('HSET', upload_key(key), 'state', to, ...)
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

-- place_queued puts a queued upload into the index that is right for it.
local function place_queued(key, head, made)
  redis.call('ZREM', P .. (head and 's:behind' or 's:queued'), key)
  redis.call('ZADD', P .. (head and 's:queued' or 's:behind'), 'NX', made, key)
end

-- assign gives an upload the next generation: of all tasks ever put for it only this one counts. It
-- notes when, so that nobody misses the task before it can be put.
local function assign(key, now)
  local generation = redis.call('HINCRBY', upload_key(key), 'gen', 1)
  redis.call('HSET', upload_key(key), 'assigned', now)
  return generation
end

-- leave takes an upload that has ended out of its order queue and, if it was the head, gives the
-- next one its task. It returns the key and the generation of the next, or false.
local function leave(key, order, now)
  local queue = redis.call('ZRANGEBYSCORE', P .. 'o:' .. order, '(0', '+inf', 'LIMIT', 0, 2)
  -- With nobody behind it, it need not move: head_of does it once somebody is.
  if queue[1] == key and not queue[2] then return false end
  redis.call('ZADD', P .. 'o:' .. order, 0, key)
  local head = queue[1] == key and head_of(order)
  if not head then return false end
  place_queued(head, true, redis.call('HGET', upload_key(head), 'made'))
  return head, assign(head, now)
end

-- note_action writes down what a person does to an upload in this state, and keeps the last ones:
-- lines of time, action, state, and who and why, as the caller wrote them.
local function note_action(key, now, action, state, who)
  local lines = {}
  for line in string.gmatch(redis.call('HGET', upload_key(key), 'acts') or '', '[^\n]+') do table.insert(lines, line) end
  table.insert(lines, now .. '\t' .. action .. '\t' .. state .. '\t' .. who)
  redis.call('HSET', upload_key(key), 'acts', table.concat(lines, '\n', math.max(1, #lines - KEEP_ACTIONS + 1)))
end

-- note_end keeps an end that is about to be undone, for counts of what happened when.
local function note_end(key, state)
  local done = FINAL[state] and redis.call('HGET', upload_key(key), 'done')
  if done then redis.call('ZADD', P .. 'e:' .. state, done, key .. ' ' .. done) end
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

local F_NUMBER, F_STARTED, F_NONCE, F_ENDED, F_OUTCOME, F_REQUEST = 1, 3, 4, 6, 8, 11

local function index_request(request_id, key)
  if request_id and request_id ~= '' then redis.call('HSET', bucket_of(request_id), request_id, key) end
end

-- index_search has an upload found by its reference, and by the beginning and the end of its order id.
local function index_search(key, order, ref)
  local args = { 0, '>' .. order, 0, '<' .. string.reverse(order) }
  if ref and ref ~= '' then
    table.insert(args, 0)
    table.insert(args, '=' .. ref .. '\0' .. key)
  end
  redis.call('ZADD', P .. 'find', unpack(args))
end

-- append adds an attempt that has ended. It keeps the last ones only; the request ids of the others
-- stay findable.
local function append(key, line)
  local list = P .. 'a:' .. key
  for _ = KEEP_ATTEMPTS + 1, redis.call('RPUSH', list, line) do
    local request_id = field(redis.call('LPOP', list), F_REQUEST)
    if request_id and request_id ~= '' then redis.call('RPUSH', P .. 'x:' .. key, request_id) end
  end
end

-- pause_left gives for how many ms to wait before asking again whether a person still holds the
-- account, or false when nobody does. It is short, so that all go on soon after the account was
-- resumed.
local function pause_left(since, till, now)
  if not since then return false end
  if till == '0' then return 5000 end
  local left = tonumber(till) - now
  return left > 0 and math.min(left, 5000)
end

-- What happened lately is counted by steps of time, for charts and rates: c:m:<n> has 10 minutes,
-- c:q:<n> 16 quarters of an hour. They expire by themselves. A field is a step's place in its hash and
--   <outcome> <bucket>   how many attempts ended so. Bucket i: the call took from 2^(i/2) ms on; "-": it
--                        reached nobody, or nobody knows how long it took
--   backlog              the largest that a pass of the reconciler has seen
--   breaker              why it was open, "" when it was not; absent: no worker ran
local COUNTS = {
  { name = 'm', step = 60000, steps = 10, keep = 2 * 3600 },
  { name = 'q', step = 900000, steps = 16, keep = 8 * 24 * 3600 },
}

-- step_of gives the key and the field of a step's count.
local function step_of(c, at, what)
  local n = math.floor(at / c.step)
  return P .. 'c:' .. c.name .. ':' .. math.floor(n / c.steps), n % c.steps .. ' ' .. what
end

-- count_attempt counts an attempt at its end; took (ms) is nil when no call was timed.
local function count_attempt(now, at, outcome, took, by)
  local bucket = took and math.floor(2 * math.log(math.max(took, 1)) / math.log(2)) or '-'
  for _, c in ipairs(COUNTS) do
    local key, field = step_of(c, at, outcome .. ' ' .. bucket)
    if at > now - c.keep * 1000 and redis.call('HINCRBY', key, field, by) == by then redis.call('EXPIRE', key, c.keep) end
  end
end

-- note_step notes why the breaker is open, or with "" that somebody saw it closed; and the backlog, if
-- it is known.
local function note_step(now, reason, backlog)
  for _, c in ipairs(COUNTS) do
    local key, breaker = step_of(c, now, 'breaker')
    local _, most = step_of(c, now, 'backlog')
    local r = redis.call('HMGET', key, breaker, most)
    local why, top = reason ~= '' and reason or r[1] or '', math.max(backlog or 0, tonumber(r[2] or '0'))
    if r[1] ~= why or tonumber(r[2]) ~= top then redis.call('HSET', key, breaker, why, most, top) end
    if not r[1] then redis.call('EXPIRE', key, c.keep) end
  end
end

-- While an attempt runs, its upload's record has
--   run                the first four fields of its line: number, generation, start, nonce. With a
--                      value of more than 64 bytes Redis would keep the record less compactly.
--   worker, instance   who makes it
--   lease              until when nobody else may, ms
--   was                the state before, when that was not queued
-- end_run forgets it.
local function end_run(key, ...)
  redis.call('HDEL', upload_key(key), 'run', 'worker', 'instance', 'lease', 'was', ...)
end

-- interrupt records the attempt that runs, if one does, as cut off; it says whether one did.
local function interrupt(key, now)
  local r = redis.call('HMGET', upload_key(key), 'run', 'worker')
  if not r[1] then return false end
  append(key, r[1] .. '\t' .. (r[2] or '') .. '\t' .. now .. '\t\tinterrupted')
  count_attempt(now, now, 'interrupted', nil, 1)
  end_run(key)
  return true
end
