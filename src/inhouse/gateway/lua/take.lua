-- Counts a request against all of a caller's limits, or against none. See shared_limits.py.
-- KEYS: for each meter (the key's, the team's) its buckets and its requests at once.
-- ARGV: this process, the prefix of the keys that say which processes live, the tokens; then for each meter the
-- limits of requests, tokens and requests at once (-1: none) and how many this process runs, this one included.
-- Answers: number of the meter that refuses (0: none), what is over, seconds to wait; then for each meter the
-- seconds until its buckets of requests and of tokens are full.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local process, alive, tokens = ARGV[1], ARGV[2], tonumber(ARGV[3])
local WINDOW = 60
local meters = {}
local over, what, wait = 0, '', 0

local function filled(full_at, amount, limit)
    if limit <= 0 then
        return now + 2 * WINDOW
    end
    return math.max(full_at, now) + math.min(amount, limit) * WINDOW / limit
end

for number = 1, #KEYS / 2 do
    local at = 4 + (number - 1) * 4
    local meter = {
        bucket = KEYS[number * 2 - 1], running = KEYS[number * 2],
        requests = tonumber(ARGV[at]), tokens = tonumber(ARGV[at + 1]),
        at_once = tonumber(ARGV[at + 2]), own = tonumber(ARGV[at + 3])
    }
    local kept = redis.call('HMGET', meter.bucket, 'requests', 'tokens')
    meter.requests_full_at = tonumber(kept[1] or now)
    meter.tokens_full_at = tonumber(kept[2] or now)
    meters[number] = meter
    if over == 0 and meter.at_once >= 0 then
        local count = meter.own
        local others = redis.call('HGETALL', meter.running)
        for i = 1, #others, 2 do
            if others[i] ~= process then
                if redis.call('EXISTS', alive .. others[i]) == 1 then
                    count = count + tonumber(others[i + 1])
                else
                    redis.call('HDEL', meter.running, others[i])
                end
            end
        end
        if count > meter.at_once then
            over, what, wait = number, 'running', 1
        end
    end
    if over == 0 and meter.requests >= 0 then
        meter.new_requests = filled(meter.requests_full_at, 1, meter.requests)
        if meter.new_requests > now + WINDOW + 1e-6 then
            over, what, wait = number, 'requests', meter.new_requests - now - WINDOW
        end
    end
    if over == 0 and meter.tokens >= 0 then
        meter.new_tokens = filled(meter.tokens_full_at, tokens, meter.tokens)
        if meter.new_tokens > now + WINDOW + 1e-6 then
            over, what, wait = number, 'tokens', meter.new_tokens - now - WINDOW
        end
    end
end

local answer = {over, what, string.format('%.6f', wait)}
for _, meter in ipairs(meters) do
    if over == 0 then
        meter.requests_full_at = meter.new_requests or now
        meter.tokens_full_at = meter.new_tokens or now
        redis.call('HSET', meter.bucket,
            'requests', string.format('%.6f', meter.requests_full_at),
            'tokens', string.format('%.6f', meter.tokens_full_at))
        local full_in = math.max(meter.requests_full_at, meter.tokens_full_at) - now
        redis.call('EXPIRE', meter.bucket, math.ceil(full_in) + WINDOW)
    end
    if meter.at_once >= 0 then
        redis.call('HSET', meter.running, process, over == 0 and meter.own or meter.own - 1)
        redis.call('EXPIRE', meter.running, 86400)
    end
    table.insert(answer, string.format('%.6f', meter.requests_full_at - now))
    table.insert(answer, string.format('%.6f', meter.tokens_full_at - now))
end
return answer
