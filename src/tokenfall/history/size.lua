-- KEYS: conversation. Returns the size of its documents in bytes, 0 for an unknown conversation.
local ends, size = redis.call('HMGET', KEYS[1], 'first', 'past'), 0
if not ends[1] then return 0 end
for place = tonumber(ends[1]), tonumber(ends[2]) - 1 do
    size = size + redis.call('HSTRLEN', KEYS[1], 'turn:' .. (redis.call('HGET', KEYS[1], 'at:' .. place) or ''))
end
return size
