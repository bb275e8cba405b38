/**
 * The outbox of the scheduler's runs: takes a mail from the last attempt that has begun, and from no other. A replica that stood still for
 * longer than its lease does not know that another one has gone on; the outbox does, from the moment at which that one has asked how far the
 * job has come.
 */
import { defineFencedScript } from "@holdfast/lock/guard";
import type { Run } from "@holdfast/scheduler";
import type { Redis } from "ioredis";
import { outboxKey, progressKey, type Mail, type Outbox } from "./mailing.ts";

const next = defineFencedScript({
  name: "mailing.next",
  keys: ["progress"],
  args: ["job"],
  source: 'return redis.call("HGET", KEYS[1], ARGV[1]) or 0',
});

const put = defineFencedScript({
  name: "mailing.put",
  keys: ["progress", "outbox"],
  args: ["job", "next", "mail"],
  source: 'redis.call("HSET", KEYS[1], ARGV[1], ARGV[2])\nreturn redis.call("RPUSH", KEYS[2], ARGV[3])',
});

/** How the outbox is kept. */
export interface FencedOutboxOptions {
  readonly prefix: string;
  readonly commandTimeoutMs: number;
}

/** Who writes. */
export type Writer = Pick<Run, "resource" | "token">;

/** Mails of one prefix, as one run may send them. */
export class FencedOutbox implements Outbox {
  private readonly redis: Redis;
  private readonly run: Writer;
  private readonly options: FencedOutboxOptions;
  private readonly keys: { readonly progress: string; readonly outbox: string };

  constructor(redis: Redis, run: Writer, options: FencedOutboxOptions) {
    this.redis = redis;
    this.run = run;
    this.options = options;
    this.keys = { progress: progressKey(options.prefix), outbox: outboxKey(options.prefix) };
  }

  /** @throws StaleTokenError when another attempt has begun */
  async next(job: string): Promise<number> {
    return Number(await next(this.redis, this.run, { progress: this.keys.progress }, { job }, this.options));
  }

  /** @throws StaleTokenError when another attempt has begun */
  async put(job: string, mail: Mail): Promise<void> {
    const args = { job, next: mail.customer + 1, mail: JSON.stringify(mail) };
    await put(this.redis, this.run, this.keys, args, this.options);
  }
}
