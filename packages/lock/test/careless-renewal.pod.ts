/** A process that renews a lock as it is often written: by a timer that nobody stops, with a promise that nobody listens to. */
import { reportReady } from "@holdfast/testkit";
import { Redis } from "ioredis";

const url = process.env["REDIS_URL"] ?? "";
// Taking the lock and connecting may last; the renewals have 100 ms each.
const taker = new Redis(url);
const redis = new Redis(url, { commandTimeout: 100, lazyConnect: true });
redis.on("error", () => undefined);
await taker.set("user:careless", "mine", "PX", 60_000);
await redis.connect();
reportReady();
setInterval(() => void redis.pexpire("user:careless", 60_000), 50);
