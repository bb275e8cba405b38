/** Leases whose first term is another, that are renewed beside others, and that tell of their end. */
import { ManualClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { now } from "../src/clock.ts";
import { LeaseKeeper } from "../src/renewed-lease.ts";
import type { LeaseEnd, LeaseGrant, RenewalOutcome, RenewedLease } from "../src/renewed-lease.ts";

interface Setting {
  readonly clock: ManualClock;
  readonly keeper: LeaseKeeper<string>;
  readonly ends: { name: string; end: LeaseEnd }[];
  readonly failures: string[];
  renewals: number;
}

function setting(answer: (lease: RenewedLease<string>) => RenewalOutcome | Error): Setting {
  const clock = new ManualClock();
  const ends: Setting["ends"] = [];
  const failures: string[] = [];
  const made: Setting = {
    clock,
    ends,
    failures,
    renewals: 0,
    keeper: new LeaseKeeper<string>({
      clock,
      renew: async (lease) => {
        made.renewals += 1;
        const outcome = answer(lease);
        if (outcome instanceof Error) throw outcome;
        return outcome;
      },
      onRenewalFailed: (lease, error) => failures.push(`${lease.data}: ${String(error)}`),
      onEnd: (lease, end) => ends.push({ name: lease.data, end }),
    }),
  };
  return made;
}

function grantOf(clock: ManualClock, data: string, more: Partial<LeaseGrant<string>> = {}): LeaseGrant<string> {
  return {
    resource: `lock:${data}`,
    token: 1,
    data,
    leaseMs: 30_000,
    sentAt: now(clock),
    renewEveryMs: 10_000,
    endError: (end) => new Error(end),
    ...more,
  };
}

describe("a lease whose first term differs from its length", () => {
  it("is renewed at once and then counts its full length", async () => {
    const { clock, keeper } = setting(() => "renewed");
    const lease = keeper.keep(grantOf(clock, "a", { firstLeaseMs: 1_000 }));
    expect(lease.remainingMs()).toBe(1_000 - 12);
    await clock.advance(1);
    expect(lease.remainingMs()).toBeGreaterThan(29_000);
    await clock.advance(5_000);
    expect(lease.ended).toBeUndefined();
  });

  it("ends at the end of the first term when no renewal succeeds, after several tries", async () => {
    const made = setting(() => new Error("no answer"));
    const lease = made.keeper.keep(grantOf(made.clock, "a", { firstLeaseMs: 1_000 }));
    await made.clock.advance(988);
    expect(lease.ended).toBe("expired");
    expect(made.renewals).toBeGreaterThanOrEqual(3);
    expect(made.ends).toEqual([{ name: "a", end: "expired" }]);
  });

  it("L4 counts for no longer than its length when the first term is longer: a renewal that was not answered may have ended it that early", async () => {
    const { clock, keeper } = setting(() => new Error("no answer"));
    const lease = keeper.keep(grantOf(clock, "a", { leaseMs: 300, renewEveryMs: 100, firstLeaseMs: 1_000 }));
    expect(lease.remainingMs()).toBe(300 - 5);
    await clock.advance(295);
    expect(lease.ended).toBe("expired");
  });
});

it("a renewal that fails for one lease leaves those of the same batch alone", async () => {
  const made = setting((lease) => (lease.data === "broken" ? new Error("node down") : "renewed"));
  const broken = made.keeper.keep(grantOf(made.clock, "broken"));
  const sound = made.keeper.keep(grantOf(made.clock, "sound"));
  await expect(Promise.allSettled([broken.renew(), sound.renew()])).resolves.toMatchObject([
    { status: "rejected" },
    { status: "fulfilled", value: true },
  ]);
  expect(sound.remainingMs()).toBeGreaterThan(0);
  made.keeper.close();
});

it("each end is told once, with its reason", async () => {
  const made = setting(() => "lost");
  const lost = made.keeper.keep(grantOf(made.clock, "lost"));
  const released = made.keeper.keep(grantOf(made.clock, "released"));
  await lost.renew();
  released.end("released");
  released.end("lost");
  made.keeper.close();
  expect(made.ends).toEqual([
    { name: "lost", end: "lost" },
    { name: "released", end: "released" },
  ]);
  expect(made.clock.pendingTimers).toBe(0);
});
