-- Reads stored messages of a topic. Begins an epoch if the topic has none.
-- KEYS 1 meta, 2 stream
-- ARGV 1 top, recent, after or latest, 2 epoch, 3 offset, 4 id (2-4: after, latest), 5 most entries, 6 most bytes in all,
--      7 age in ms (latest: ttl), 8 bytes of a page, 9 fresh epoch, 10 ttl in ms of a meta that is made here
-- Returns whole or more, the top, the offset and the id before the first entry, and each entry as offset, id, previous id,
-- ms and body; or lost or none, and the top.
local kind = ARGV[1]
local meta = redis.call('HMGET', KEYS[1], 'e', 'o', 'i')
local epoch, last, id = meta[1], meta[2], meta[3]
if not epoch then
  epoch, last, id = ARGV[9], '0', '0'
  -- The next publish would fail on a stream that outlived its meta.
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'e', epoch, 'o', last, 'i', id)
  redis.call('PEXPIRE', KEYS[1], ARGV[10])
end
local top = epoch .. ':' .. last .. ':' .. id
local function decimal(number)
  return string.format('%.0f', number)
end
local function nothing()
  return {'whole', top, last, id}
end
local function lost()
  -- A history of which too little is left has no newest messages.
  return kind == 'recent' and nothing() or {'lost', top}
end
if kind == 'top' then
  return nothing()
end
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[7]
last = tonumber(last)
if kind == 'latest' then
  local value = redis.call('HMGET', KEYS[1], 'p', 't', 'd')
  if not value[3] or tonumber(value[2]) <= oldest then
    return {'none', top}
  elseif ARGV[4] == id then
    return {'whole', top, decimal(last), id}
  end
  return {'whole', top, decimal(last - 1), value[1], {decimal(last), id, value[1], value[2], value[3]}}
end
local most, room = tonumber(ARGV[5]), tonumber(ARGV[6])
-- Reads an entry: offset, id, previous id, ms, body, and the bytes of its payload. The body's first byte holds flags.
local function entry(raw)
  local offset, ms = string.match(raw[1], '^(%d+)-(%d+)$')
  local fields = raw[2]
  return tonumber(offset), fields[2], fields[4], tonumber(ms), fields[6], #fields[6] - 1
end
local start, wanted
if kind == 'after' then
  local offset = tonumber(ARGV[3])
  if ARGV[2] ~= epoch or offset > last or last - offset > most then
    return lost()
  elseif offset == last then
    return ARGV[4] == id and {'whole', top, decimal(last), id} or lost()
  end
  start, wanted = offset + 1, ARGV[4]
else
  start, wanted = last + 1, id
  local accepted, bytes, going = 0, 0, true
  while going and accepted < most do
    local page = redis.call('XREVRANGE', KEYS[2], decimal(start - 1), '-', 'COUNT', 16)
    going = #page == 16
    for _, raw in ipairs(page) do
      local offset, this, previous, ms, _, size = entry(raw)
      bytes = bytes + size
      if offset ~= start - 1 or this ~= wanted or accepted == most or bytes > room or ms <= oldest then
        going = false
        break
      end
      start, wanted, accepted = offset, previous, accepted + 1
    end
  end
  if accepted == 0 then
    return {'whole', top, decimal(last), id}
  end
end
local reply = {'whole', top, decimal(start - 1), wanted}
local next, bytes = start, 0
while next <= last do
  local page = redis.call('XRANGE', KEYS[2], decimal(next), '+', 'COUNT', 16)
  if #page == 0 then
    return lost()
  end
  for _, raw in ipairs(page) do
    local offset, this, previous, ms, body, size = entry(raw)
    if offset ~= next or previous ~= wanted or (kind == 'after' and next == start and ms <= oldest) then
      return lost()
    end
    bytes = bytes + size
    if bytes > tonumber(ARGV[8]) and next > start then
      reply[1] = 'more'
      return reply
    end
    reply[#reply + 1] = {decimal(offset), this, previous, decimal(ms), body}
    next, wanted = next + 1, this
    if next > last then
      break
    end
  end
end
-- The newest entry has to be the one of the meta.
return wanted == id and reply or lost()
