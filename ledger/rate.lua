-- The rate of an account, for all its workers: turns that lie `every` µs apart, each for the start of
-- one attempt. It stands before begin.lua. In the account's breaker:
--   turn         when the next turn begins that nobody has, in µs      turn_every   how far apart they lay then

-- wait_turn gives false when an attempt may start now, or the turn that its worker got, and for how
-- many ms to wait for it. Held: the turn that the worker got before; 0: none. It lasts until the next
-- one would begin, or a little longer where they lie close together; who comes later gets another.
local function wait_turn(every, held)
  local t = redis.call('TIME')
  local now, grain = tonumber(t[1]) * 1000000 + tonumber(t[2]), 1000
  if held > 0 and now < held + math.max(every, 50000) then
    if now >= held - grain then return false end
    return held, math.ceil((held - now) / 1000)
  end
  local r = redis.call('HMGET', P .. 'breaker', 'turn', 'turn_every')
  local turn = tonumber(r[1] or '0')
  if tonumber(r[2]) ~= every then turn = math.min(turn, now + every) end -- the rate is another one now
  turn = math.max(turn, now)
  redis.call('HSET', P .. 'breaker', 'turn', string.format('%.0f', turn + every), 'turn_every', every)
  if turn <= now + grain then return false end
  return turn, math.ceil((turn - now) / 1000)
end
