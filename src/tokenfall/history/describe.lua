-- KEYS: conversations. For each: last activity, messages, title; an empty list for one that is gone.
local described = {}
for place, conversation in ipairs(KEYS) do
    local found = redis.call('HMGET', conversation, 'first', 'past', 'last_activity', 'title')
    if found[1] then
        described[place] = {found[3], 2 * (tonumber(found[2]) - tonumber(found[1])), found[4]}
    else
        described[place] = {}
    end
end
return described
