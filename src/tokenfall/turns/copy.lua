-- KEYS: of each turn its stream, alive, stop, claim (or the stream again).
-- ARGV: keep (ms), lease (ms); of each turn its id, conversation, place of the first piece, place after the last,
-- pieces, end, and whether its claim is free again (1 or 0).
-- Returns of each turn how many pieces there are, whether the end is, and whether somebody wants it to stop.
-- Whatever comes twice or late changes nothing; where pieces are missing, none is written that would leave a gap.
local function copy(key, arg)
    local stream, alive, stop, claim = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
    local id, first, past, pieces, ending = ARGV[arg], ARGV[arg + 2], ARGV[arg + 3], ARGV[arg + 4], ARGV[arg + 5]
    local newest, have, kind = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1], 0, '0'
    if newest then
        have, kind = string.match(newest[1], '(%d+)-(%d+)')
        have = tonumber(have)
    end
    if kind == '2' then return {have, 1, 0} end
    if ending == '' then redis.call('SET', alive, ARGV[arg + 1], 'PX', ARGV[2]) end
    if tonumber(first) > have then return {have, 0, 0} end
    if not newest then redis.call('XADD', stream, '0-1', 'conversation', ARGV[arg + 1]) end
    if tonumber(past) > have then
        redis.call('XADD', stream, past .. '-1', 'at', first, 'pieces', pieces)
        have = tonumber(past)
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
    return {have, ending ~= '' and 1 or 0, stopping}
end
local told = {}
for turn = 0, #KEYS / 4 - 1 do told[turn + 1] = copy(turn * 4 + 1, turn * 7 + 3) end
return told
