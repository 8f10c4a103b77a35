-- A request has ended. See shared_limits.py.
-- KEYS: for each meter its buckets and its requests at once.
-- ARGV: this process; then for each meter the seconds by which its bucket of tokens is full later, and how many
-- requests this process still runs.
for number = 1, #KEYS / 2 do
    local bucket, running = KEYS[number * 2 - 1], KEYS[number * 2]
    local later, own = tonumber(ARGV[number * 2]), tonumber(ARGV[number * 2 + 1])
    if later ~= 0 and redis.call('HEXISTS', bucket, 'tokens') == 1 then
        redis.call('HINCRBYFLOAT', bucket, 'tokens', later)
        if later > 0 then
            redis.call('EXPIRE', bucket, redis.call('TTL', bucket) + math.ceil(later))
        end
    end
    if own > 0 then
        redis.call('HSET', running, ARGV[1], own)
    else
        redis.call('HDEL', running, ARGV[1])
    end
end
return 0
