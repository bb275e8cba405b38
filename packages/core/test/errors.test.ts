/** Which errors mean that there was no answer. */
import { expect, it } from "vitest";
import {
  cameLate,
  ClosedError,
  isTransient,
  NotReplicatedError,
  OutcomeUnknownError,
  RedisRefusedError,
  RedisUnavailableError,
  TooLateError,
} from "../src/index.ts";

const operation = "test.call a";

it.each<[Error, { readonly late: boolean; readonly transient: boolean }]>([
  [new OutcomeUnknownError(operation, "op", { why: "no answer" }), { late: true, transient: true }],
  [new TooLateError(operation, 50), { late: true, transient: true }],
  [new RedisUnavailableError(operation, "OOM", "free memory"), { late: false, transient: true }],
  [new RedisRefusedError(operation, "WRONGTYPE", "another type", "none"), { late: false, transient: false }],
  [new NotReplicatedError(operation, "op", 1, 0, 100), { late: false, transient: false }],
  [new ClosedError("this lock"), { late: false, transient: false }],
  [new Error("another"), { late: false, transient: false }],
])("$0.name is an answer, or none", (error, { late, transient }) => {
  expect({ late: cameLate(error), transient: isTransient(error) }).toEqual({ late, transient });
});
