/** A process that renews a lock as it is often written: by a timer that nobody stops, with a promise that nobody listens to. */
import { reportReady } from "@holdfast/testkit";
import { Redis } from "ioredis";

const redis = new Redis(process.env["REDIS_URL"] ?? "", { commandTimeout: 100 });
redis.on("error", () => undefined);
await redis.set("user:careless", "mine", "PX", 60_000);
setInterval(() => void redis.pexpire("user:careless", 60_000), 50);
reportReady();
