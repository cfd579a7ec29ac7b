-- KEYS: conversation. ARGV: how many of the newest turns, -1 for all.
-- Returns documents, oldest first; nil for an unknown conversation.
local ends = redis.call('HMGET', KEYS[1], 'first', 'past')
if not ends[1] then return false end
local first, past, newest = tonumber(ends[1]), tonumber(ends[2]), tonumber(ARGV[1])
if newest >= 0 then first = math.max(first, past - newest) end
local documents = {}
for place = first, past - 1 do
    local turn = redis.call('HGET', KEYS[1], 'at:' .. place)
    documents[#documents + 1] = redis.call('HGET', KEYS[1], 'turn:' .. (turn or ''))
end
return documents
