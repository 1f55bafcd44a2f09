-- Lengthens the life of keys that exist and have less left.
-- KEYS the keys, at most 512 of one tag
-- ARGV 1 ttl in ms
-- Returns how many have a longer life now.
local ttl = tonumber(ARGV[1])
local lengthened = 0
for _, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left >= 0 and left < ttl then
    lengthened = lengthened + redis.call('PEXPIRE', key, ARGV[1])
  end
end
return lengthened
