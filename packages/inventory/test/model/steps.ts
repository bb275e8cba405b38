/** What the model is asked: calls in any order under a dozen ids, with what happens to each on its way. */
import fc from "fast-check";

/** All skus of a run; `a` is the one that is spread where any is. */
export const skus = ["a", "b c", "r#a"] as const;

/** What may happen to calls. */
export interface Circumstances {
  /** What befalls requests and replies. */
  readonly faults: readonly string[];
  /** Whether a count may be set, and whether records may take turns: in one bucket, whose log the model knows. */
  readonly oneBucket: boolean;
}

/** Everything at once. */
export const everything: Circumstances = {
  faults: ["lost", "twice", "twice, first answer", "late request", "late reply"],
  oneBucket: true,
};

/** What may be asked; `lapse` reserves and waits for the end of the hold. */
export type Kind =
  | "reserve"
  | "lapse"
  | "decrement"
  | "confirm"
  | "release"
  | "extend"
  | "restock"
  | "adjust"
  | "outcome"
  | "sweep"
  | "seed";

/** A call, with what its kind needs beside. */
export interface Call {
  readonly kind: Kind;
  readonly id: string;
  readonly fault: string | null;
  /** Whether it finds that the records' turn has come. */
  readonly turns: boolean;
  readonly [field: string]: unknown;
}

/** An earlier call again, so many back. */
export interface Again {
  readonly kind: "again";
  readonly back: number;
  readonly fault: string | null;
  readonly turns: boolean;
}

/** A call, or an earlier one again. */
export type Step = Call | Again;

const lines = fc.array(fc.record({ sku: fc.constantFrom(...skus), quantity: fc.integer({ min: 1, max: 6 }) }), {
  minLength: 1,
  maxLength: 3,
});
const counts = fc.uniqueArray(fc.record({ sku: fc.constantFrom(...skus), quantity: fc.integer({ min: 0, max: 60 }) }), {
  minLength: 1,
  maxLength: 2,
  selector: ({ sku }) => sku,
});
const id = fc.integer({ min: 0, max: 11 }).map((number) => `id ${number}`);
const part = fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: lines });
const operationId = fc.constantFrom("x", "y");
const never = fc.constant(null);

function stepIn({ faults, oneBucket }: Circumstances): fc.Arbitrary<Step> {
  const fault =
    faults.length === 0
      ? never
      : fc.oneof({ weight: 20, arbitrary: never }, { weight: 1, arbitrary: fc.constantFrom(...faults) });
  // A hold of 50 ms may be over when the client is back, so its reply is never lost.
  const repeated = faults.length === 0 ? never : fc.constantFrom(null, null, null, "twice");
  const turns = oneBucket
    ? fc.oneof({ weight: 14, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) })
    : fc.constant(false);
  const common = { id, fault, turns };
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ ...common, kind: fc.constant("reserve" as const), lines, partial: fc.boolean() }),
    },
    { weight: 3, arbitrary: fc.record({ ...common, kind: fc.constant("lapse" as const), lines, fault: repeated }) },
    {
      weight: 3,
      arbitrary: fc.record({ ...common, kind: fc.constant("decrement" as const), lines, partial: fc.boolean() }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        ...common,
        kind: fc.constant("confirm" as const),
        operationId,
        part,
        retake: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ ...common, kind: fc.constant("release" as const), operationId }) },
    { weight: 2, arbitrary: fc.record({ ...common, kind: fc.constant("extend" as const), other: id }) },
    { weight: 3, arbitrary: fc.record({ ...common, kind: fc.constant("restock" as const), lines }) },
    {
      weight: 1,
      arbitrary: fc.record({ ...common, kind: fc.constant("adjust" as const), lines, sign: fc.constantFrom(1, -1, 0) }),
    },
    { weight: 1, arbitrary: fc.record({ ...common, kind: fc.constant("outcome" as const) }) },
    { weight: 1, arbitrary: fc.record({ ...common, kind: fc.constant("sweep" as const) }) },
    {
      weight: oneBucket ? 2 : 0,
      arbitrary: fc.record({ ...common, kind: fc.constant("seed" as const), counts, stale: fc.boolean() }),
    },
    {
      weight: 5,
      arbitrary: fc.record({ ...common, kind: fc.constant("again" as const), back: fc.integer({ min: 1, max: 20 }) }),
    },
  );
}

/** Sequences of so many steps. */
export function sequences(circumstances: Circumstances, steps: number): fc.Arbitrary<Step[]> {
  return fc.array(stepIn(circumstances), { minLength: steps, maxLength: steps });
}
