-- `bucket.spend` in microseconds. Fractions leave it as text: Redis truncates a Lua number to an integer.
-- KEYS: the client. ARGV: interval (us), burst. `now_us` is defined by limits/redis.py.
-- Returns whether it is allowed, how many remain, and the microseconds until the next try and until the burst is whole.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_us()
local whole = burst * interval

local function keep(owed)
    local state = string.format('%.0f %.17g', now, owed)
    redis.call('SET', KEYS[1], state, 'PX', string.format('%.0f', math.ceil(owed / 1000) + 1000))
end

local since, owed, stale = now, 0, false
local state = redis.call('GET', KEYS[1])
if state then
    local since_text, owed_text = string.match(state, '^(%S+) (%S+)$')
    since, owed = tonumber(since_text), tonumber(owed_text)
    owed = math.max(0, owed - math.max(0, now - since))
    stale = now < since or owed > whole + 1 -- the clock was set back, or the debt is one under other settings
    owed = math.min(owed, whole + 1)
end

local after = owed + interval
local room = whole - after
if room < -1 then -- a microsecond: bucket.EPSILON_S
    if stale then keep(owed) end -- else a refusal writes nothing
    return {0, 0, string.format('%.17g', -room), string.format('%.17g', owed)}
end
keep(after)
return {1, math.floor((room + 1) / interval), '0', string.format('%.17g', after)}
