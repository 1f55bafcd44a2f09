-- Counts a beat of a node, and sends it to the node's feed.
-- KEYS 1 counter, 2 channel
-- ARGV 1 nonce, 2 ttl of the counter in ms
-- Returns the count.
local count = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', KEYS[2], ARGV[1] .. ':' .. string.format('%.0f', count))
return count
