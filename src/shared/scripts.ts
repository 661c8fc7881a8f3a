/**
 * What Redis does in one step, in its own language, Lua. All times are of its own clock, so that the clocks of
 * nodes need not agree.
 *
 * @module
 */

/** A script, and the name by which a server knows one that it has seen. */
export interface Script {
  readonly text: string;
  readonly sha1: string;
}

function script(text: string): Script {
  return { text, sha1: new Bun.CryptoHasher("sha1").update(text).digest("hex") };
}

const NOW_US = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
`;

/**
 * Lends units of a bucket, which is kept as in `src/lib/limiter.ts`: by the microsecond at which it is full
 * again. Of what is not needed an eighth of what there is may be had, so that less lies about the nearer the end
 * comes.
 *
 * KEYS: the bucket. ARGV: limit, window in µs, owed, used, least, need, want. Gives what is lent, and what is
 * left.
 */
export const LEND = script(`${NOW_US}
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local owed, known = tonumber(ARGV[3]), tonumber(ARGV[4])
local least, need, want = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local unit = window / limit
local used = math.max(0, tonumber(redis.call('GET', KEYS[1]) or '0') - now)
used = math.max(used, known * unit) + owed * unit
used = math.min(math.max(0, used), 2 * window)
local there = math.max(0, math.floor((window - used) / unit + 0.000001))
local granted = math.min(there, want, math.max(need, math.floor(there / 8)))
if granted < least then granted = 0 end
used = used + granted * unit
if used > 0 then
  redis.call('SET', KEYS[1], string.format('%.3f', now + used), 'PX', math.ceil(used / 1000) + 1000)
else
  redis.call('DEL', KEYS[1])
end
return { granted, string.format('%.6f', (window - used) / unit) }
`);

/**
 * Lends seats at a gate. Each borrower has a field of a hash: how many, and until when they are its own.
 *
 * KEYS: the gate. ARGV: borrower, inside, need, want, most seats, µs that they last. Gives the seats of the
 * borrower, and those of all others.
 */
export const SEAT = script(`${NOW_US}
local id, inside = ARGV[1], tonumber(ARGV[2])
local need, want = tonumber(ARGV[3]), tonumber(ARGV[4])
local most, lasts = tonumber(ARGV[5]), tonumber(ARGV[6])
local all, others = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  local count, ends = string.match(all[i + 1], '^(%d+) (%d+)$')
  if all[i] == id then
    -- its own
  elseif ends and tonumber(ends) > now then
    others = others + tonumber(count)
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
local free = math.max(0, most - others - inside)
local ahead = math.floor(math.max(0, free - need) / 8)
local granted = inside + math.min(free, want, need + ahead)
if granted > 0 then
  redis.call('HSET', KEYS[1], id, granted .. ' ' .. string.format('%.0f', now + lasts))
  redis.call('PEXPIRE', KEYS[1], math.ceil(lasts / 1000))
else
  redis.call('HDEL', KEYS[1], id)
end
return { granted, others }
`);

/**
 * Notes that a breaker has opened or closed. Who opens while another's is open leaves that.
 *
 * KEYS: the breaker. ARGV: who, "open" or "closed", µs that it stays open, ms that others may hear of it. The
 * note: "NUMBER WHO STATE UNTIL". Gives nothing.
 */
export const TURN = script(`${NOW_US}
local number, who, state, ends = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%S+) (%S+) (%d+)$')
if ARGV[2] == 'open' and state == 'open' and who ~= ARGV[1] and tonumber(ends) > now then return end
redis.call('SET', KEYS[1], string.format('%.0f %s %s %.0f', tonumber(number or '0') + 1, ARGV[1], ARGV[2],
  now + tonumber(ARGV[3])), 'PX', ARGV[4])
`);

/**
 * Writes a word, so that who may not write is away and not there, and reads what others have noted of breakers.
 *
 * KEYS: the word, breakers. Gives the time, in µs, and the notes of all: "" = there is none.
 */
export const BEAT = script(`${NOW_US}
redis.call('SET', KEYS[1], 'weir', 'PX', 60000)
local notes = {}
if #KEYS > 1 then notes = redis.call('MGET', unpack(KEYS, 2)) end
for i = 1, #KEYS - 1 do notes[i] = notes[i] or '' end
return { string.format('%.0f', now), notes }
`);
