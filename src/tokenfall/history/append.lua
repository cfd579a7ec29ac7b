-- KEYS: conversation, index.
-- ARGV: conversation id, turn id, document, title, last activity, maximum of turns, expiry (ms), replaced turn or ''.
local conversation, index, replaced = KEYS[1], KEYS[2], ARGV[8]
local turn, most, expire_ms = ARGV[2], tonumber(ARGV[6]), tonumber(ARGV[7])

if redis.call('HEXISTS', conversation, 'turn:' .. turn) == 1 then return 0 end

local first = tonumber(redis.call('HGET', conversation, 'first') or 0)
local past = tonumber(redis.call('HGET', conversation, 'past') or 0)
if redis.call('HEXISTS', conversation, 'turn:' .. replaced) == 1 then
    local newest
    repeat
        past = past - 1
        newest = redis.call('HGET', conversation, 'at:' .. past)
        redis.call('HDEL', conversation, 'at:' .. past, 'turn:' .. (newest or ''))
    until newest == replaced or past <= first
end
redis.call('HSETNX', conversation, 'title', ARGV[4])
redis.call('HSET', conversation, 'turn:' .. turn, ARGV[3], 'at:' .. past, turn, 'last_activity', ARGV[5])
past = past + 1
while past - first > most do
    local oldest = redis.call('HGET', conversation, 'at:' .. first)
    redis.call('HDEL', conversation, 'at:' .. first, 'turn:' .. (oldest or ''))
    first = first + 1
end
redis.call('HSET', conversation, 'first', first, 'past', past)
redis.call('PEXPIRE', conversation, expire_ms)

-- Microseconds of the server's clock, but always more than the newest score: simultaneous turns keep their order.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local newest = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
local touched = math.max(now, tonumber(newest[2] or 0) + 1)
redis.call('ZADD', index, string.format('%.0f', touched), ARGV[1])
redis.call('ZREMRANGEBYSCORE', index, '-inf', string.format('%.0f', now - expire_ms * 1000))
redis.call('PEXPIRE', index, expire_ms)
return 1
