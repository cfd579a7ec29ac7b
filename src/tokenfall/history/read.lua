-- KEYS: conversations. ARGV: size in bytes after which no further conversation is read; maximum size of each.
-- Returns the documents of each, oldest first, false for an unknown conversation; fewer than KEYS if they are large.
local read, size, most, largest = {}, 0, tonumber(ARGV[1]), tonumber(ARGV[2])
for place, conversation in ipairs(KEYS) do
    if size > most then break end
    local ends = redis.call('HMGET', conversation, 'first', 'past')
    local documents = false
    if ends[1] then
        documents = {}
        local before = size
        for at = tonumber(ends[1]), tonumber(ends[2]) - 1 do
            local turn = redis.call('HGET', conversation, 'at:' .. at)
            local document = redis.call('HGET', conversation, 'turn:' .. (turn or ''))
            size = size + #(document or '')
            if size - before > largest and #documents > 0 then break end
            documents[#documents + 1] = document
        end
    end
    read[place] = documents
end
return read
