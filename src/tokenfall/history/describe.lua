-- KEYS: conversations. Returns for each: last activity, number of messages, title, pinned or false; an empty list if it is unknown.
local described = {}
for place, conversation in ipairs(KEYS) do
    local found = redis.call('HMGET', conversation, 'first', 'past', 'last_activity', 'title', 'pinned')
    if found[1] then
        described[place] = {found[3], 2 * (tonumber(found[2]) - tonumber(found[1])), found[4], found[5]}
    else
        described[place] = {}
    end
end
return described
