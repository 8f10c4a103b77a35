-- The queue of fair_queue.py for several processes: the whole state is one value, read and written by each call.
-- KEYS: the state.
-- ARGV: what to do, this process, the prefix of the keys that say which processes live, the prefix of the channels
-- on which each process is told, the queue's topic, the slots as this process sees them; then
--   enter: id, caller, priority, cost, deadline (seconds; -1: none), places to wait, seconds until a slot opens
--   leave: id, 1 where its time says something about others'
--   check: the number of the next request of this process, and the ids of those that it knows of
-- Answers: running, waiting, verdict, seconds; for check: running, waiting, then the ids that hold a slot or wait.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local act, process, alive, tell, topic, slots = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local SLOWER, FASTER, CAUTION = 0.3, 0.1, 1.5

local state = {lines = {}, tickets = {}, waiting = {}, served = {}}
local kept = redis.call('GET', KEYS[1])
if kept then
    state = cmsgpack.unpack(kept)
end
local lines, tickets = state.lines, state.tickets

local function tell_of(entry, verdict)
    redis.call('PUBLISH', tell .. entry.process, topic .. ' ' .. verdict .. ' ' .. entry.id)
end

-- What dead processes held is free.
local lives = {[process] = true}
local function living(entry)
    if lives[entry.process] == nil then
        lives[entry.process] = redis.call('EXISTS', alive .. entry.process) == 1
    end
    return lives[entry.process]
end
local function kept_of(list, keep)
    local left = {}
    for _, entry in ipairs(list) do
        if keep(entry) then
            table.insert(left, entry)
        end
    end
    return left
end
tickets = kept_of(tickets, living)
local waiting = kept_of(state.waiting, living)

local function line_of(caller)
    local line = lines[caller]
    if line == nil then
        line = {used = 0, priority = 0}
        lines[caller] = line
    end
    return line
end

-- Of each caller: what runs and waits, in requests and in seconds.
local function loads()
    local of = {}
    for caller in pairs(lines) do
        of[caller] = {charged = 0, running = 0, waiting = 0, cost = 0}
    end
    for _, ticket in ipairs(tickets) do
        local load = of[ticket.caller]
        load.charged, load.running = load.charged + ticket.charge, load.running + 1
    end
    for _, waiter in ipairs(waiting) do
        local load = of[waiter.caller]
        load.waiting, load.cost = load.waiting + 1, load.cost + waiter.cost
    end
    return of
end

local function start(entry)
    entry.charge = state.cost_s and entry.cost * state.cost_s or 1
    entry.started = now
    table.insert(tickets, entry)
    state.served[tostring(lines[entry.caller].priority)] = entry.caller
end

local function grant()
    while #waiting > 0 and #tickets < slots do
        local of, best, turn = loads(), nil, nil
        for number, waiter in ipairs(waiting) do
            local line, load = lines[waiter.caller], of[waiter.caller]
            local mine = {-line.priority, line.used + load.charged, load.running}
            if best == nil or mine[1] < turn[1] or (mine[1] == turn[1] and (mine[2] < turn[2]
                    or (mine[2] == turn[2] and mine[3] < turn[3]))) then
                best, turn = number, mine
            end
        end
        local waiter = table.remove(waiting, best)
        start(waiter)
        tell_of(waiter, 'granted')
    end
end

-- Seconds until a request that the caller sent now would be granted; -1 before anything was measured.
local function expected_wait(caller, cost, opens_in)
    if not state.cost_s or slots == 0 then
        return opens_in > 0 and opens_in or -1
    end
    local of, line = loads(), lines[caller]
    local own = of[caller]
    local ahead = own.cost * state.cost_s
    local turn = line.used + own.charged + ahead
    for other, load in pairs(of) do
        if other ~= caller and load.waiting > 0 and lines[other].priority >= line.priority then
            local seconds = load.cost * state.cost_s
            if lines[other].priority == line.priority then
                local until_level = turn - lines[other].used - load.charged + seconds / load.waiting
                seconds = math.min(seconds, math.max(0, until_level))
            end
            ahead = ahead + seconds
        end
    end
    local left, first = 0, nil
    for _, ticket in ipairs(tickets) do
        local rest = math.max(0.1 * ticket.charge, ticket.charge - (now - ticket.started))
        left, first = left + rest, math.min(first or rest, rest)
    end
    local spread = cost * state.cost_s * (slots - 1) / (2 * slots)
    return opens_in + math.max((ahead + left) / slots - spread, first or 0)
end

local function enter()
    local id, caller, priority, cost = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
    local deadline, places, opens_in = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
    local line = line_of(caller)
    local load = loads()[caller]
    if load.running == 0 and load.waiting == 0 then
        line.priority = priority
        local served = lines[state.served[tostring(priority)]]
        if served then
            line.used = math.max(line.used, served.used)
        end
    end
    local entry = {id = id, caller = caller, process = process, cost = cost}
    if #tickets < slots and #waiting == 0 then
        start(entry)
        return 'granted', 0
    end
    local expected = expected_wait(caller, cost, opens_in)
    if deadline >= 0 and expected * CAUTION > deadline then
        return 'late', expected * CAUTION
    end
    if #waiting >= places then
        local of, longest = loads(), nil
        for other, held in pairs(of) do
            if held.waiting > 0 and lines[other].priority <= line.priority and (longest == nil
                    or lines[other].priority < lines[longest].priority
                    or (lines[other].priority == lines[longest].priority and held.waiting > of[longest].waiting)) then
                longest = other
            end
        end
        if longest == nil or (lines[longest].priority == line.priority
                and of[longest].waiting <= of[caller].waiting + 1) then
            return 'full', expected
        end
        for number = #waiting, 1, -1 do
            if waiting[number].caller == longest then
                tell_of(table.remove(waiting, number), 'full')
                break
            end
        end
    end
    table.insert(waiting, entry)
    return 'waiting', expected
end

local function leave()
    local id, complete = ARGV[7], ARGV[8] == '1'
    for number, ticket in ipairs(tickets) do
        if ticket.id == id then
            table.remove(tickets, number)
            local took = now - ticket.started
            lines[ticket.caller].used = lines[ticket.caller].used + took
            if complete then
                local sample = took / ticket.cost
                local known = state.cost_s or sample
                state.cost_s = known + (sample > known and SLOWER or FASTER) * (sample - known)
            end
        end
    end
    waiting = kept_of(waiting, function(entry) return entry.id ~= id end)
end

local answer = {}
if act == 'enter' then
    local verdict, seconds = enter()
    answer = {verdict, string.format('%.6f', seconds)}
elseif act == 'leave' then
    leave()
elseif act == 'check' then
    local known = {}
    for at = 8, #ARGV do
        known[ARGV[at]] = true
    end
    local function ours(entry)
        return entry.process ~= process or known[entry.id] == true
            or tonumber(string.match(entry.id, '%d+$')) >= tonumber(ARGV[7])
    end
    tickets = kept_of(tickets, ours)
    waiting = kept_of(waiting, ours)
end
grant()
if act == 'check' then
    for _, list in ipairs({tickets, waiting}) do
        for _, entry in ipairs(list) do
            if entry.process == process then
                table.insert(answer, (list == tickets and 'granted ' or 'waiting ') .. entry.id)
            end
        end
    end
end
if #tickets == 0 and #waiting == 0 then
    -- Nobody is served: who comes next starts anew. Only how long a request takes is worth keeping.
    state = {lines = {}, served = {}, cost_s = state.cost_s}
else
    local of = loads()
    local count = 0
    for _ in pairs(lines) do
        count = count + 1
    end
    if count > 1024 then
        for caller, load in pairs(of) do
            if load.running == 0 and load.waiting == 0 then
                lines[caller] = nil
            end
        end
    end
end
state.tickets, state.waiting = tickets, waiting
redis.call('SET', KEYS[1], cmsgpack.pack(state), 'EX', 3600)
return {#tickets, #waiting, unpack(answer)}
