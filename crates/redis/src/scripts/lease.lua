-- Renews the lease of a node, and lists the live nodes.
-- KEYS 1 expiry of each node in ms, 2 name of each node
-- ARGV 1 node, 2 ttl in ms, 3 name, 4 how long an expired node is kept in ms
-- Returns the time in ms, whether the node had no lease (1 or 0), and each live node with its name.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expiry = redis.call('ZSCORE', KEYS[1], ARGV[1])
local is_new = (not expiry or tonumber(expiry) < now) and 1 or 0
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - ARGV[4]))
for _, node in ipairs(gone) do
  redis.call('ZREM', KEYS[1], node)
  redis.call('HDEL', KEYS[2], node)
end
local reply = {string.format('%.0f', now), is_new}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.0f', now), '+inf')) do
  reply[#reply + 1] = node
  -- A nil would end the reply.
  reply[#reply + 1] = redis.call('HGET', KEYS[2], node) or ''
end
return reply
