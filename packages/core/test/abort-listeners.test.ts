import { getEventListeners } from "node:events";
import { expect, it } from "vitest";
import { onAbort } from "../src/abort-listeners.ts";

it("calls every listener once, in the order of registration, and leaves none on the signal", () => {
  const controller = new AbortController();
  const called: number[] = [];
  onAbort(controller.signal, () => called.push(1));
  onAbort(controller.signal, () => called.push(2)).cancel();
  onAbort(controller.signal, () => called.push(3));
  expect(getEventListeners(controller.signal, "abort")).toHaveLength(1);
  controller.abort();
  expect(called).toEqual([1, 3]);
  expect(getEventListeners(controller.signal, "abort")).toEqual([]);
});

it("takes its listener off the signal with the last registration", () => {
  const { signal } = new AbortController();
  const first = onAbort(signal, () => undefined);
  const second = onAbort(signal, () => undefined);
  first.cancel();
  first.cancel();
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
  second.cancel();
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

it("a registration that is cancelled by an earlier listener of the same abort is not called", () => {
  const controller = new AbortController();
  const called: number[] = [];
  onAbort(controller.signal, () => second.cancel());
  const second = onAbort(controller.signal, () => called.push(2));
  controller.abort();
  expect(called).toEqual([]);
});

it("a signal that has aborted, or is about to tell the others, calls nobody and keeps nothing", () => {
  const controller = new AbortController();
  const called: string[] = [];
  onAbort(controller.signal, () => {
    onAbort(controller.signal, () => called.push("in the abort")).cancel();
  });
  onAbort(controller.signal, () => void onAbort(controller.signal, () => called.push("last in the abort")));
  controller.abort();
  onAbort(controller.signal, () => called.push("after the abort")).cancel();
  expect(called).toEqual([]);
  expect(getEventListeners(controller.signal, "abort")).toEqual([]);
});

it("signals have their listeners for themselves, and a cancelled registration does not come back", () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const called: string[] = [];
  const registration = onAbort(one.signal, () => called.push("one"));
  onAbort(other.signal, () => called.push("other"));
  registration.cancel();
  onAbort(one.signal, () => called.push("one again"));
  other.abort();
  expect(called).toEqual(["other"]);
  one.abort();
  expect(called).toEqual(["other", "one again"]);
});

it("50,000 registrations on one signal take no time that grows with their number", () => {
  const { signal } = new AbortController();
  const before = process.cpuUsage();
  const all = Array.from({ length: 50_000 }, () => onAbort(signal, () => undefined));
  for (const registration of all) registration.cancel();
  // On the signal itself this takes some ten seconds. Of the processor, since a machine that lets us wait says nothing about it.
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1_000).toBeLessThan(2_000);
});
