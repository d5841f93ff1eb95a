-- pass begins a round of the reconciler, if no other worker is doing it: it renews this one's turn,
-- compares counts, looks at what is being sent, and notes how the account stands. ARGV: "", worker, turn ms, limit, grace ms
-- Returns: { 0 } when it is another's turn, or { 1, uploads that must have a task, tasks there are,
-- then key, generation and wait ms of each task to put }
local worker, turn, limit, grace = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local holder = redis.call('GET', P .. 'reconciler')
if holder and holder ~= worker then return { 0 } end
redis.call('SET', P .. 'reconciler', worker, 'PX', turn)
for _, key in ipairs(redis.call('ZRANGE', P .. 's:sending', 0, limit - 1)) do look(key, 'sending', grace, 0) end
local needed, tasks = counts()
local breaker = redis.call('HMGET', P .. 'breaker', 'reason', 'paused_at', 'paused_till')
note_step(now, pause_left(breaker[2], breaker[3], now) and 'paused' or breaker[1] or '', needed + redis.call('ZCARD', P .. 's:behind'))
return { 1, needed, tasks, unpack(repairs) }
