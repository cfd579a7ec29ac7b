-- KEYS: claim, alive of the turn that claims. ARGV: the claim, its conversation, lease (ms).
-- Until its turn is copied for the first time a claim lives no longer than the turn's sign of life.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
if not held then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return false
