-- KEYS: conversation. ARGV: number of turns, -1 for all; the newest turn to return or ''; maximum size in bytes, -1 for none.
-- Returns documents, oldest first; nil for an unknown conversation.
-- The newest document is returned even if it exceeds the maximum size.
local ends = redis.call('HMGET', KEYS[1], 'first', 'past')
if not ends[1] then return false end
local first, past = tonumber(ends[1]), tonumber(ends[2])
local newest, upto, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
if upto ~= '' then
    while past > first and redis.call('HGET', KEYS[1], 'at:' .. past - 1) ~= upto do past = past - 1 end
end
if newest >= 0 then first = math.max(first, past - newest) end
local found, size = {}, 0
for place = past - 1, first, -1 do
    local turn = 'turn:' .. (redis.call('HGET', KEYS[1], 'at:' .. place) or '')
    size = size + redis.call('HSTRLEN', KEYS[1], turn)
    if most >= 0 and size > most and #found > 0 then break end
    found[#found + 1] = redis.call('HGET', KEYS[1], turn)
end
local documents = {}
for place = #found, 1, -1 do documents[#documents + 1] = found[place] end
return documents
