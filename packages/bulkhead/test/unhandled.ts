/** B8 for every test of a file: none may leave a rejection unhandled. */
import { afterEach, beforeEach, expect } from "vitest";

/** Fails a test that leaves rejections unhandled. Returns their list, for a test that wants one to empty it. */
export function noneUnhandled(): unknown[] {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => {
    unhandled.push(reason);
  };
  beforeEach(() => {
    unhandled.length = 0;
    process.on("unhandledRejection", onUnhandled);
  });
  afterEach(() => {
    process.off("unhandledRejection", onUnhandled);
    expect(unhandled).toEqual([]);
  });
  return unhandled;
}
