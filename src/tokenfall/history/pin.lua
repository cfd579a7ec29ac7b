-- KEYS: conversation. ARGV: '1' to pin, '' to unpin.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[1] == '' then redis.call('HDEL', KEYS[1], 'pinned') else redis.call('HSET', KEYS[1], 'pinned', ARGV[1]) end
return 1
