/** A lease as its holder sees it: it ends by the local clock in time, whatever the server, the loop or the wall clock do. */
import { ManualClock, pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { leaseMarginMs, LeaseKeeper, now, systemClock } from "../src/index.ts";
import type { Clock, LeaseEnd, LeaseGrant, RenewalOutcome, RenewedLease } from "../src/index.ts";

type Renew = (lease: RenewedLease<string>) => Promise<RenewalOutcome>;

class LeaseOver extends Error {
  readonly end: LeaseEnd;
  constructor(end: LeaseEnd) {
    super(end);
    this.end = end;
  }
}

const renewed: Renew = async () => "renewed";

function keeperOf(clock: Clock, renew: Renew = renewed) {
  const failures: unknown[] = [];
  const keeper = new LeaseKeeper<string>({
    clock,
    renew,
    onRenewalFailed: (_, error) => failures.push(error),
  });
  return { keeper, failures };
}

function grantOf(clock: Clock, more: Partial<LeaseGrant<string>> = {}): LeaseGrant<string> {
  return {
    resource: "lock:a",
    token: 7,
    data: "owner",
    leaseMs: 1_000,
    sentAt: now(clock),
    renewEveryMs: 0,
    endError: (end) => new LeaseOver(end),
    ...more,
  };
}

const endOf = (act: () => void): string => {
  try {
    act();
    return "held";
  } catch (error) {
    return (error as LeaseOver).end;
  }
};

describe("the deadline", () => {
  it.each([
    [50, 3],
    [1_000, 12],
    [30_000, 302],
    [86_400_000, 864_002],
  ])(
    "of a lease of %i ms lies %i ms before its end, counted from the moment before the request",
    async (leaseMs, marginMs) => {
      expect(leaseMarginMs(leaseMs)).toBe(marginMs);
      const clock = new ManualClock();
      const { keeper } = keeperOf(clock);
      const sentAt = now(clock);
      await clock.advance(20);
      const lease = keeper.keep(grantOf(clock, { leaseMs, sentAt }));
      const { signal } = lease;
      expect(lease.remainingMs()).toBe(leaseMs - marginMs - 20);
      await clock.advance(leaseMs - marginMs - 21);
      expect([lease.remainingMs(), signal.aborted, endOf(() => lease.assertHeld())]).toEqual([1, false, "held"]);
      await clock.advance(1);
      expect([lease.remainingMs(), lease.ended, endOf(() => lease.assertHeld())]).toEqual([0, "expired", "expired"]);
      expect(signal.reason).toBeInstanceOf(LeaseOver);
      expect(clock.pendingTimers).toBe(0);
      expect(keeper.held.size).toBe(0);
    },
  );

  it("that has passed when the grant arrives makes a lease that is over", () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock);
    const sentAt = now(clock);
    void clock.advance(0);
    const lease = keeper.keep(grantOf(clock, { sentAt: { ...sentAt, monotonicMs: sentAt.monotonicMs - 2_000 } }));
    expect(lease.remainingMs()).toBe(0);
    expect(endOf(() => lease.assertHeld())).toBe("expired");
    expect(lease.signal.aborted).toBe(true);
  });

  it("of the longest hold ends a lease that is renewed all the time", async () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock);
    const lease = keeper.keep(grantOf(clock, { renewEveryMs: 300, holdMaxMs: 2_500 }));
    await clock.advance(2_499);
    expect(endOf(() => lease.assertHeld())).toBe("held");
    await clock.advance(1);
    expect(lease.ended).toBe("hold-max");
    // The timer of a short list, shared by all, fires once more for nothing.
    await clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it("of the longest hold is named as the reason although no timer has run", () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock);
    const lease = keeper.keep(grantOf(clock, { leaseMs: 60_000, holdMaxMs: 500 }));
    clock.stepWall(501);
    expect(endOf(() => lease.assertHeld())).toBe("hold-max");
  });

  it("counts a jump of the wall clock, as after the machine slept, and no jump back", async () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock);
    const slept = keeper.keep(grantOf(clock));
    clock.stepWall(2_000);
    expect([slept.remainingMs(), slept.signal.aborted, endOf(() => slept.assertHeld())]).toEqual([0, true, "expired"]);
    const setBack = keeper.keep(grantOf(clock));
    clock.stepWall(-3_600_000);
    await clock.advance(987);
    expect(endOf(() => setBack.assertHeld())).toBe("held");
    await clock.advance(1);
    expect(setBack.ended).toBe("expired");
  });

  it("is seen by assertHeld at once after a blocked event loop, before any timer has run", () => {
    const { keeper } = keeperOf(systemClock);
    const lease = keeper.keep(grantOf(systemClock, { leaseMs: 60, renewEveryMs: 20 }));
    const untilMs = performance.now() + 80;
    while (performance.now() < untilMs) Math.sqrt(untilMs);
    expect(lease.ended).toBeUndefined();
    expect(endOf(() => lease.assertHeld())).toBe("expired");
    expect(keeper.held.size).toBe(0);
  });

  it("counter-test: a flag that a timer sets still says held after a blocked event loop", () => {
    let held = true;
    const timer = systemClock.setTimer(() => {
      held = false;
    }, 60);
    const untilMs = performance.now() + 80;
    while (performance.now() < untilMs) Math.sqrt(untilMs);
    expect(held).toBe(true);
    systemClock.clearTimer(timer);
  });

  it("aborts the signal in real time when the server never answers", async () => {
    const { keeper } = keeperOf(systemClock, () => new Promise(() => undefined));
    const lease = keeper.keep(grantOf(systemClock, { leaseMs: 200, renewEveryMs: 50 }));
    const startedMs = performance.now();
    await pollUntil("the signal aborts", () => lease.signal.aborted, { intervalMs: 1 });
    expect(lease.ended).toBe("expired");
    expect(performance.now() - startedMs).toBeGreaterThan(150);
  });
});

describe("a renewal", () => {
  it("moves the deadline to its own send time plus the lease", async () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock);
    const lease = keeper.keep(grantOf(clock));
    await clock.advance(600);
    expect(await lease.renew()).toBe(true);
    expect(lease.remainingMs()).toBe(988);
    await clock.advance(987);
    expect(endOf(() => lease.assertHeld())).toBe("held");
    await clock.advance(1);
    expect(lease.ended).toBe("expired");
  });

  it("whose answer comes after the deadline never revives the lease", async () => {
    const clock = new ManualClock();
    const { promise, resolve: answer } = Promise.withResolvers<RenewalOutcome>();
    const { keeper } = keeperOf(clock, () => promise);
    const lease = keeper.keep(grantOf(clock));
    await clock.advance(980);
    const renewal = lease.renew();
    await clock.advance(10);
    expect(lease.ended).toBe("expired");
    answer("renewed");
    expect(await renewal).toBe(false);
    expect([lease.remainingMs(), lease.ended, clock.pendingTimers]).toEqual([0, "expired", 0]);
  });

  it("whose answer comes after the deadline does not revive although no timer has run", async () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock, async () => {
      clock.stepWall(5_000);
      return "renewed";
    });
    const lease = keeper.keep(grantOf(clock));
    expect(await lease.renew()).toBe(false);
    expect(lease.ended).toBe("expired");
  });

  it("answered in the wrong order never shortens what a later one has won", async () => {
    const clock = new ManualClock();
    const answers: ((outcome: RenewalOutcome) => void)[] = [];
    const { keeper } = keeperOf(clock, () => new Promise((resolve) => void answers.push(resolve)));
    const lease = keeper.keep(grantOf(clock));
    const first = lease.renew();
    await clock.advance(500);
    const second = lease.renew();
    await clock.advance(1);
    answers[1]?.("renewed");
    await second;
    answers[0]?.("renewed");
    await first;
    expect(lease.remainingMs()).toBe(987);
  });

  it.each(["lost", "cancelled"] as const)(
    "that says %s ends the lease and its signal with that reason",
    async (outcome) => {
      const clock = new ManualClock();
      const { keeper } = keeperOf(clock, async () => outcome);
      const lease = keeper.keep(grantOf(clock, { renewEveryMs: 300 }));
      const { signal } = lease;
      await clock.advance(300);
      expect([lease.ended, (signal.reason as LeaseOver).end]).toEqual([outcome, outcome]);
      await clock.advance(1_000);
      expect(clock.pendingTimers).toBe(0);
    },
  );

  it("waits for no other one that is due in the same tick", async () => {
    const clock = new ManualClock();
    let asked = 0;
    const { keeper } = keeperOf(clock, ({ data }) => {
      asked += 1;
      return data === "unanswered" ? new Promise(() => undefined) : Promise.resolve("renewed");
    });
    const grant = grantOf(clock, { renewEveryMs: 300 });
    const [sick, ...others] = ["unanswered", "one", "other"].map((data) => keeper.keep({ ...grant, data }));
    await clock.advance(300);
    expect(asked).toBe(3);
    await clock.advance(2_000);
    expect([sick?.ended, ...others.map(({ ended }) => ended)]).toEqual(["expired", undefined, undefined]);
    keeper.close();
    await clock.advance(1_000);
    expect([keeper.held.size, clock.pendingTimers]).toEqual([0, 0]);
  });

  it.each<[string, Renew]>([
    ["rejects", () => Promise.reject(new Error("no answer"))],
    [
      "throws at once",
      () => {
        throw new Error("no answer");
      },
    ],
  ])("that %s in the background is told, tried again, and never an unhandled rejection", async (_, renew) => {
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): number => unhandled.push(error);
    process.on("unhandledRejection", onUnhandled);
    const clock = new ManualClock();
    const { keeper, failures } = keeperOf(clock, renew);
    const lease = keeper.keep(grantOf(clock, { renewEveryMs: 300 }));
    await clock.advance(2_000);
    expect(failures.length).toBeGreaterThanOrEqual(3);
    expect([lease.ended, clock.pendingTimers, keeper.held.size]).toEqual(["expired", 0, 0]);
    expect(unhandled).toEqual([]);
    process.off("unhandledRejection", onUnhandled);
  });

  it("that fails is never an unhandled rejection although its observer throws, too", async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): number => unhandled.push(error);
    process.on("unhandledRejection", onUnhandled);
    const clock = new ManualClock();
    const broken = (): never => {
      throw new Error("observer broke");
    };
    const keeper = new LeaseKeeper<string>({
      clock,
      renew: () => Promise.reject(new Error("no answer")),
      onRenewalFailed: broken,
      onEnd: broken,
    });
    const lease = keeper.keep(grantOf(clock, { renewEveryMs: 300 }));
    const { signal } = lease;
    await clock.advance(2_000);
    expect([lease.ended, signal.aborted, unhandled.length]).toEqual(["expired", true, 0]);
    process.off("unhandledRejection", onUnhandled);
  });

  it("by hand rejects when the answer is not known, and the lease goes on", async () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock, () => Promise.reject(new Error("no answer")));
    const lease = keeper.keep(grantOf(clock));
    await expect(lease.renew()).rejects.toThrow("no answer");
    expect(endOf(() => lease.assertHeld())).toBe("held");
    lease.end("released");
    expect(await lease.renew()).toBe(false);
  });

  it("is not made for a lease that is not to be renewed", async () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock, () => Promise.reject(new Error("never asked")));
    keeper.keep(grantOf(clock, { renewEveryMs: 0 }));
    expect(clock.pendingTimers).toBe(1);
    await clock.advance(988);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("a lease that was given up", () => {
  it("keeps its first reason, and its signal is aborted from the start when it is read later", () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock);
    const lease = keeper.keep(grantOf(clock, { renewEveryMs: 100, holdMaxMs: 60_000 }));
    lease.end("released");
    lease.end("lost");
    expect([lease.ended, lease.signal.aborted, endOf(() => lease.assertHeld())]).toEqual([
      "released",
      true,
      "released",
    ]);
  });

  it("leaves no timer behind, and neither do 100,000 of them, which cost little", async () => {
    const clock = new ManualClock();
    const { keeper } = keeperOf(clock);
    const startedMs = process.cpuUsage();
    const leases = Array.from({ length: 100_000 }, () =>
      keeper.keep(grantOf(clock, { leaseMs: 30_000, renewEveryMs: 10_000, holdMaxMs: 600_000 })),
    );
    expect(keeper.held.size).toBe(100_000);
    expect(clock.pendingTimers).toBe(2);
    for (const lease of leases) lease.end("released");
    const { user, system } = process.cpuUsage(startedMs);
    expect((user + system) / 100_000).toBeLessThan(30);
    expect([keeper.held.size, clock.pendingTimers]).toEqual([0, 0]);
  });
});
