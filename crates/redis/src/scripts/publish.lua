-- Publishes a message of a topic with history: orders it, stores it, and sends it to the feeds of all nodes.
-- KEYS 1 meta, 2 stream, 3 channel, [4 the key that makes a repeated publish the same message]
-- ARGV 1 window or latest, 2 count, 3 age in ms (latest: ttl), 4 ttl of the meta in ms, 5 fresh epoch, 6 id, 7 body,
--      8 deadline in ms, 9 ttl of KEYS 4 in ms, 10 PUBLISH
-- Returns the position. Of a repeated publish: the first one's position and `again`.
-- A script does not roll back: what can fail for lack of memory comes before any other write but DEL.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[8]) then
  return redis.error_reply('LATE the message came after its deadline')
end
if KEYS[4] then
  local position = redis.call('GET', KEYS[4])
  if position then
    return {position, 'again'}
  end
end
local meta = redis.call('HMGET', KEYS[1], 'e', 'o', 'i')
local epoch, offset, before = meta[1], meta[2], meta[3]
if not epoch then
  epoch, offset, before = ARGV[5], '0', '0'
  -- XADD fails on a stream that outlived its meta.
  redis.call('DEL', KEYS[2])
end
offset = string.format('%.0f', offset + 1)
now = string.format('%.0f', now)
if ARGV[1] == 'window' then
  local exactly = tonumber(ARGV[2]) <= 100 and '=' or '~'
  redis.call('XADD', KEYS[2], 'MAXLEN', exactly, ARGV[2], offset .. '-' .. now, 'i', ARGV[6], 'p', before, 'd', ARGV[7])
  redis.call('HSET', KEYS[1], 'e', epoch, 'o', offset, 'i', ARGV[6])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
else
  redis.call('HSET', KEYS[1], 'e', epoch, 'o', offset, 'i', ARGV[6], 'p', before, 'd', ARGV[7], 't', now)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
local position = epoch .. ':' .. offset .. ':' .. ARGV[6]
if KEYS[4] then
  redis.call('SET', KEYS[4], position, 'PX', ARGV[9])
end
redis.call(ARGV[10], KEYS[3], '1 ' .. position .. ' ' .. before .. '\n' .. ARGV[7])
return position
