-- Claims an idempotency key for a turn, unless another turn has claimed it.
-- KEYS: claim, lease (alive) of the turn. ARGV: the claim, its conversation, lease (ms).
-- Returns the claim of the other turn, or false. Until the turn is copied for the first time, both keys expire together.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
if not held then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return false
