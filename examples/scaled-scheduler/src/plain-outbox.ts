/**
 * The outbox of the crons: takes a mail from everybody. Nothing that a cron has would tell an old run from a new one.
 */
import type { Redis } from "ioredis";
import { outboxKey, progressKey, type Mail, type Outbox } from "./mailing.ts";

/** Mails of one prefix. */
export class PlainOutbox implements Outbox {
  private readonly redis: Redis;
  private readonly prefix: string;

  constructor(redis: Redis, prefix: string) {
    this.redis = redis;
    this.prefix = prefix;
  }

  async next(job: string): Promise<number> {
    return Number((await this.redis.hget(progressKey(this.prefix), job)) ?? 0);
  }

  async put(job: string, mail: Mail): Promise<void> {
    await this.redis
      .multi()
      .rpush(outboxKey(this.prefix), JSON.stringify(mail))
      .hset(progressKey(this.prefix), job, mail.customer + 1)
      .exec();
  }
}
