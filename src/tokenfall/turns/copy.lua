-- Adds new pieces of running turns, and their ends, to the streams that followers read.
-- KEYS: per turn its stream, lease (alive), stop request and claim (without a claim, the stream again).
-- ARGV: retention (ms), lease (ms); per turn its id, conversation, position of the first piece, position after the last,
-- pieces, end (or ''), and whether to delete its claim (1 or 0).
-- Returns per turn: number of stored pieces, whether the end is stored, whether a stop was requested.
-- A repeated or late call changes nothing. If earlier pieces are missing, none is added, so a stream has no gap.
local function copy(key, arg)
    local stream, alive, stop, claim = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
    local id, first, past, pieces, ending = ARGV[arg], ARGV[arg + 2], ARGV[arg + 3], ARGV[arg + 4], ARGV[arg + 5]
    local newest, stored, kind = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1], 0, '0'
    if newest then
        stored, kind = string.match(newest[1], '(%d+)-(%d+)')
        stored = tonumber(stored)
    end
    if kind == '2' then return {stored, 1, 0} end
    if ending == '' then redis.call('SET', alive, ARGV[arg + 1], 'PX', ARGV[2]) end
    if tonumber(first) > stored then return {stored, 0, 0} end
    if not newest then redis.call('XADD', stream, '0-1', 'conversation', ARGV[arg + 1]) end
    if tonumber(past) > stored then
        redis.call('XADD', stream, past .. '-1', 'at', first, 'pieces', pieces)
        stored = tonumber(past)
    end
    local stopping = redis.call('EXISTS', stop)
    if ending ~= '' then
        redis.call('XADD', stream, past .. '-2', 'end', ending)
        redis.call('DEL', alive, stop)
    end
    redis.call('PEXPIRE', stream, ARGV[1])
    local claimed = claim ~= stream and redis.call('GET', claim)
    if claimed and string.find(claimed, '"' .. id .. '"', 1, true) then
        if ARGV[arg + 6] == '1' then redis.call('DEL', claim) else redis.call('PEXPIRE', claim, ARGV[1]) end
    end
    return {stored, ending ~= '' and 1 or 0, stopping}
end
local copied = {}
for turn = 0, #KEYS / 4 - 1 do copied[turn + 1] = copy(turn * 4 + 1, turn * 7 + 3) end
return copied
