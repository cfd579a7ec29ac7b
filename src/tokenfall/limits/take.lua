-- `bucket.spend` in microseconds. Fractions are returned as strings: Redis truncates Lua numbers to integers.
-- KEYS: the client. ARGV: interval (us), burst. `now_us` is defined by limits/redis.py.
-- Returns allowed (0 or 1), remaining requests, microseconds until the next retry, and until the bucket is full.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_us()
local capacity = burst * interval

local function store(used)
    local state = string.format('%.0f %.17g', now, used)
    redis.call('SET', KEYS[1], state, 'PX', string.format('%.0f', math.ceil(used / 1000) + 1000))
end

local since, used, stale = now, 0, false
local state = redis.call('GET', KEYS[1])
if state then
    local since_text, used_text = string.match(state, '^(%S+) (%S+)$')
    since, used = tonumber(since_text), tonumber(used_text)
    used = math.max(0, used - math.max(0, now - since))
    stale = now < since or used > capacity + 1 -- the clock was set back, or rate or burst were changed
    used = math.min(used, capacity + 1)
end

local after = used + interval
local room = capacity - after
if room < -1 then -- a microsecond: bucket.EPSILON_S
    if stale then store(used) end -- other refusals write nothing
    return {0, 0, string.format('%.17g', -room), string.format('%.17g', used)}
end
store(after)
return {1, math.floor((room + 1) / interval), '0', string.format('%.17g', after)}
