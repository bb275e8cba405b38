// Made by `pnpm generate` from src/scripts/*.lua. Change those.

/** Decides occurrences that are due, and moves the record on to the following one, as one compare-and-set on version and next occurrence: of all replicas one succeeds, and a repeat finds the record moved on. */
export const admit = {
  name: "scheduler.admit",
  keys: ["state", "waiting", "history"],
  args: ["notAfterUs", "version", "expected", "cursor", "following", "waitingMax", "historyMax", "skipped", "missed"],
  rest: "runs",
  replies: ["format", "too-late", "admitted", "skipped", "full", "moved"],
  sha1: "ae6d77ca694641bbcde8ab257e60e278c170f493" as string,
  source: `local state, waiting, history = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, version, expected, cursor, following = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local waitingMax, historyMax, skipped, missed = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
local runsAt = 10
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
local heldUs, heldAnew = math.max(0, tonumber(job.held or 0) - nowUs), nil
if heldUs > 0 and tonumber(job.started or 0) > nowUs then
  heldUs = tonumber(job.held) - tonumber(job.started)
  heldAnew = { "started", nowText, "held", string.format("%.0f", nowUs + heldUs) }
end
if job.version ~= version or job.next ~= expected or job.removed or job.paused then
  return { "moved" }
end
if tonumber(cursor) * 1000 > nowUs then
  return { "moved" }
end
local busy = job.open or redis.call("ZCARD", waiting) > 0 or heldUs > 0
local overlaps = busy and skipped ~= ""
local runs = {}
for at = runsAt, #ARGV, 2 do
  runs[#runs + 1] = ARGV[at + 1]
  runs[#runs + 1] = ARGV[at]
end
if not overlaps and redis.call("ZCARD", waiting) + #runs / 2 > waitingMax then
  return { "full" }
end
redis.call("LLEN", history)
redis.call("HSET", state, "next", following, "cursor", cursor)
if heldAnew and not job.open then
  redis.call("HSET", state, unpack(heldAnew))
end
if missed ~= "" then
  redis.call("LPUSH", history, missed)
end
if overlaps then
  redis.call("LPUSH", history, skipped)
elseif #runs > 0 then
  redis.call("ZADD", waiting, unpack(runs))
end
redis.call("LTRIM", history, 0, historyMax - 1)
return { overlaps and "skipped" or "admitted" }
` as string,
} as const;

/** An attempt at an occurrence, for the delivery of its timer that has this token. One occurrence of a job runs at a time; one whose runner vanished is begun again with a higher token while attempts last (C1). Safe to repeat: the same delivery gets the same attempt. */
export const begin = {
  name: "scheduler.begin",
  keys: ["state", "waiting"],
  args: ["notAfterUs", "id", "token", "runner", "attemptsMax", "atLeastUs"],
  rest: null,
  replies: ["format", "too-late", "run", "exhausted", "held", "wait", "lost", "stale"],
  sha1: "96e353c2fdc72f0a2e2f7a183da047711038a0ea" as string,
  source: `local state, waiting = KEYS[1], KEYS[2]
local notAfterUs, id, token, runner = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local attemptsMax, atLeastUs = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
local heldUs, heldAnew = math.max(0, tonumber(job.held or 0) - nowUs), nil
if heldUs > 0 and tonumber(job.started or 0) > nowUs then
  heldUs = tonumber(job.held) - tonumber(job.started)
  heldAnew = { "started", nowText, "held", string.format("%.0f", nowUs + heldUs) }
end
local lastAsked = math.max(redis.call("ZCOUNT", waiting, "-inf", "(0") - 1, 0)
local head = redis.call("ZRANGE", waiting, lastAsked, lastAsked, "WITHSCORES")
if not job.format or job.removed then
  return { "stale" }
elseif job.left == token then
  return { "lost" }
end
local score = redis.call("ZSCORE", waiting, id)
local due, attempt
if job.open == id then
  if job.token == token then
    return { "run", nowText, job.openDue, tonumber(job.attempts) }
  elseif tonumber(token) < tonumber(job.token) then
    return { "lost" }
  elseif tonumber(job.attempts) >= attemptsMax then
    return { "exhausted", nowText, job.openDue, tonumber(job.attempts), job.runner, job.started, job.failure or "" }
  end
  due, attempt = job.openDue, tonumber(job.attempts) + 1
elseif not score then
  return { "stale" }
elseif job.open or head[1] ~= id then
  return { "wait" }
elseif job.paused and tonumber(score) > 0 then
  return { "wait" }
elseif heldUs > 0 then
  if heldAnew then
    redis.call("HSET", state, unpack(heldAnew))
  end
  return { "held", math.ceil(heldUs / 1000) }
elseif tonumber(token) <= tonumber(job.token or 0) then
  return { "lost" }
else
  due, attempt = string.gsub(score, "^-", ""), 1
end
redis.call("ZREM", waiting, id)
redis.call(
  "HSET", state, "open", id, "openDue", due, "attempts", attempt, "token", token, "runner", runner,
  "started", nowText, "held", string.format("%.0f", nowUs + atLeastUs)
)
return { "run", nowText, due, attempt }
` as string,
} as const;

/** Puts a definition on record, if its version is higher than what is there (C5). Not while an occurrence of the old one is due: it is decided by the old definition first. Where that cannot be done, since too many wait, the new one begins with it. Safe to repeat: then the version is no longer higher. */
export const define = {
  name: "scheduler.define",
  keys: ["state", "waiting"],
  args: ["notAfterUs", "version", "definition", "expected", "next", "from", "waitingMax"],
  rest: null,
  replies: ["format", "too-late", "defined", "kept", "moved"],
  sha1: "301096c1aac96ff10de6eefe5f7cf6ed790d50d1" as string,
  source: `local state, waiting = KEYS[1], KEYS[2]
local notAfterUs, version, definition, expected, next = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local from, waitingMax = tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
if job.version and tonumber(job.version) >= tonumber(version) then
  return { "kept" }
end
local live = job.format and not job.removed
local full = redis.call("ZCARD", waiting) >= waitingMax
if live and job.next ~= expected then
  return { "moved" }
end
if live and not job.paused and tonumber(job.next) * 1000 <= nowUs and not (full and from < tonumber(job.next)) then
  return { "moved" }
end
if tonumber(next) <= tonumber(job.cursor or 0) then
  return { "moved" }
end
if job.removed then
  redis.call("HDEL", state, "removed", "open", "openDue", "attempts", "runner", "started", "held", "failure")
end
redis.call("HSET", state, "format", "1", "version", version, "definition", definition, "next", next)
redis.call("HSETNX", state, "cursor", "0")
redis.call("PERSIST", state)
return { "defined" }
` as string,
} as const;

/** Adds an occurrence that was asked for by hand; it goes before what waits of the plan, and after what was asked for before. A repeat of the same operation gets the first answer. */
export const enqueue = {
  name: "scheduler.enqueue",
  keys: ["state", "waiting", "answer"],
  args: ["notAfterUs", "keepMs", "id", "overlap", "lateMaxMs", "waitingMax"],
  rest: null,
  replies: ["format", "too-late", "queued", "busy", "absent", "moved"],
  sha1: "a3b69c39f7d509f88ee4078fe66449d378ad28af" as string,
  source: `local state, waiting, answer = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, keepMs, id, overlap = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local lateMaxMs, waitingMax = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
local heldUs, heldAnew = math.max(0, tonumber(job.held or 0) - nowUs), nil
if heldUs > 0 and tonumber(job.started or 0) > nowUs then
  heldUs = tonumber(job.held) - tonumber(job.started)
  heldAnew = { "started", nowText, "held", string.format("%.0f", nowUs + heldUs) }
end
local answered = redis.call("GET", answer)
if answered then
  return { answered }
end
local count = redis.call("ZCARD", waiting)
local first = redis.call("ZRANGE", waiting, 0, 0, "WITHSCORES")
if not job.format or job.removed then
  redis.call("SET", answer, "absent", "PX", keepMs)
  return { "absent" }
end
local lateUs = job.paused and -1 or nowUs - tonumber(job.next) * 1000
if overlap == "skip" and count < waitingMax and lateUs > lateMaxMs * 1000 then
  return { "moved" }
end
local begins = lateUs >= 0 or count > 0 and (not job.paused or tonumber(first[2]) < 0)
local busy = job.open or begins or heldUs > 0
if count >= waitingMax or (busy and overlap == "skip") then
  if heldAnew and not job.open then
    redis.call("HSET", state, unpack(heldAnew))
  end
  redis.call("SET", answer, "busy", "PX", keepMs)
  return { "busy" }
end
local due = math.max(math.floor(nowUs / 1000), 1 - tonumber(first[2] or 0))
redis.call("ZADD", waiting, string.format("%.0f", -due), id)
redis.call("SET", answer, "queued", "PX", keepMs)
return { "queued" }
` as string,
} as const;

/** Records that an occurrence has ended, once: only for the delivery that began it, or for a later one that found no attempt left (C1). Safe to repeat: the token of the last ending is remembered, and earlier ones stand in the history. */
export const finish = {
  name: "scheduler.finish",
  keys: ["state", "waiting", "history"],
  args: ["notAfterUs", "id", "token", "verb", "record", "historyMax"],
  rest: null,
  replies: ["format", "too-late", "recorded", "lost"],
  sha1: "fd599fdc81d8256733bbb41ee5e850028c51c59c" as string,
  source: `local state, waiting, history = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, id, token, verb = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local record, historyMax = ARGV[5], tonumber(ARGV[6])
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
local lastAsked = math.max(redis.call("ZCOUNT", waiting, "-inf", "(0") - 1, 0)
local head = redis.call("ZRANGE", waiting, lastAsked, lastAsked, "WITHSCORES")
local nextId = head[1] or ""
if job.finished == token or (job.open ~= id and redis.call("LPOS", history, record)) then
  return { "recorded", nextId }
elseif job.open ~= id or job.removed then
  return { "lost" }
elseif verb == "ended" and job.token ~= token then
  return { "lost" }
elseif verb ~= "ended" and tonumber(token) <= tonumber(job.token) then
  return { "lost" }
end
redis.call("LLEN", history)
redis.call("HDEL", state, "open", "openDue", "attempts", "runner", "failure")
redis.call("HSET", state, "token", token, "finished", token)
redis.call("LPUSH", history, record)
redis.call("LTRIM", history, 0, historyMax - 1)
return { "recorded", nextId }
` as string,
} as const;

/** Ends an attempt whose occurrence goes on. One that never began is taken back, so that none is spent (C1); of one that failed the failure is kept, for the history should no other attempt follow. Safe to repeat, also after others have left; a begin of the same delivery that arrives later begins nothing. */
export const leave = {
  name: "scheduler.leave",
  keys: ["state"],
  args: ["notAfterUs", "id", "token", "failure"],
  rest: null,
  replies: ["format", "too-late", "left"],
  sha1: "bcc2eee450929ecc222895e5b724adde8ab0911e" as string,
  source: `local state = KEYS[1]
local notAfterUs, id, token, failure = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
if not job.format or job.removed or job.left == token then
  return { "left" }
end
local isOpen = job.open == id and job.token == token
redis.call("HDEL", state, "left")
redis.call("HSET", state, "left", token)
if isOpen and failure == "" and job.returned ~= token then
  redis.call("HSET", state, "attempts", tonumber(job.attempts) - 1, "returned", token)
elseif isOpen and failure ~= "" then
  redis.call("HSET", state, "failure", failure)
end
return { "left" }
` as string,
} as const;

/** Reads what is on record of a job. */
export const look = {
  name: "scheduler.look",
  keys: ["state", "waiting"],
  args: [],
  rest: null,
  replies: ["format", "absent", "removed", "job"],
  sha1: "fd5d111a32bfa9b2fb46d32b03d5720bd9a78743" as string,
  source: `local state, waiting = KEYS[1], KEYS[2]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
local heldUs, heldAnew = math.max(0, tonumber(job.held or 0) - nowUs), nil
if heldUs > 0 and tonumber(job.started or 0) > nowUs then
  heldUs = tonumber(job.held) - tonumber(job.started)
  heldAnew = { "started", nowText, "held", string.format("%.0f", nowUs + heldUs) }
end
local lastAsked = math.max(redis.call("ZCOUNT", waiting, "-inf", "(0") - 1, 0)
local head = redis.call("ZRANGE", waiting, lastAsked, lastAsked, "WITHSCORES")
if not job.format then
  return { "absent", nowText }
elseif job.removed then
  return { "removed", nowText, job.version }
end
return {
  "job", nowText, job.version, job.definition, job.next, job.cursor, job.paused or "0",
  job.open or "", head[1] or "", head[2] or "0", redis.call("ZCARD", waiting),
  heldAnew and 0 or math.ceil(heldUs / 1000),
}
` as string,
} as const;

/** Reads the history of a job. */
export const recall = {
  name: "scheduler.recall",
  keys: ["state", "history"],
  args: ["limit"],
  rest: null,
  replies: ["format", "absent", "history"],
  sha1: "08aa453e54658d60747c5885670a12ccb5654b76" as string,
  source: `local state, history = KEYS[1], KEYS[2]
local limit = tonumber(ARGV[1])
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
if not job.format or job.removed then
  return { "absent" }
end
return { "history", job.definition, redis.call("LRANGE", history, 0, limit - 1) }
` as string,
} as const;

/** Takes a job out. Its version stays on record for a while, so that replicas that still know the job do not bring it back; a higher version does. */
export const remove = {
  name: "scheduler.remove",
  keys: ["state", "waiting", "history", "answer"],
  args: ["notAfterUs", "keepMs", "buriedMs"],
  rest: null,
  replies: ["format", "too-late", "removed", "absent"],
  sha1: "36e2e91219aaec711bacb258c9499e73f9c9403e" as string,
  source: `local state, waiting, history, answer = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, keepMs, buriedMs = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
local answered = redis.call("GET", answer)
if answered == "removed" then
  return { "removed", job.removed and job.next or "0", job.removed and job.open or "" }
elseif answered or not job.format or job.removed then
  redis.call("SET", answer, "absent", "PX", keepMs)
  return { "absent" }
end
redis.call("DEL", waiting, history)
redis.call("HDEL", state, "definition", "paused")
redis.call("HSET", state, "removed", "1")
redis.call("PEXPIRE", state, buriedMs)
redis.call("SET", answer, "removed", "PX", keepMs)
return { "removed", job.next, job.open or "" }
` as string,
} as const;

/** Pauses or resumes a job. A repeat of the same operation gets the first answer, whatever others did meanwhile (K1). */
export const steer = {
  name: "scheduler.steer",
  keys: ["state", "answer"],
  args: ["notAfterUs", "keepMs", "verb", "expected", "next"],
  rest: null,
  replies: ["format", "too-late", "paused", "resumed", "absent", "moved"],
  sha1: "bbb87ec49c2386cbc5d5fbd70d527f24562d2144" as string,
  source: `local state, answer = KEYS[1], KEYS[2]
local notAfterUs, keepMs, verb, expected, next = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
if nowUs > notAfterUs then
  return { "too-late", nowText }
end
local unpack = table.unpack or unpack
local jobFields = {
  "format", "version", "definition", "next", "cursor", "paused", "removed",
  "open", "openDue", "attempts", "token", "runner", "started", "held", "finished", "left", "failure", "returned",
}
local job = {}
for index, value in ipairs(redis.call("HMGET", state, unpack(jobFields))) do
  job[jobFields[index]] = value
end
if job.format and job.format ~= "1" then
  return { "format", job.format }
end
local answered = redis.call("GET", answer)
if answered then
  return { answered }
elseif not job.format or job.removed then
  redis.call("SET", answer, "absent", "PX", keepMs)
  return { "absent" }
end
if verb == "pause" then
  if not job.paused and job.next ~= expected and tonumber(job.next) <= tonumber(next) then
    return { "moved" }
  end
  redis.call("HSET", state, "paused", "1")
  redis.call("SET", answer, "paused", "PX", keepMs)
  return { "paused" }
end
if job.paused then
  if job.next ~= expected or tonumber(next) <= tonumber(job.cursor) then
    return { "moved" }
  end
  redis.call("HDEL", state, "paused")
  redis.call("HSET", state, "next", next)
end
redis.call("SET", answer, "resumed", "PX", keepMs)
return { "resumed" }
` as string,
} as const;
