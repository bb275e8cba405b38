/** What a checker says about one rule. */

/** The outcome of one rule over one round. */
export interface Verdict {
  readonly scenario: string;
  /** With the invariants it stands for: `L1 tokens increase in real time`. */
  readonly rule: string;
  readonly held: boolean;
  /** How many things were looked at. */
  readonly checked: number;
  /** The first violations, one line each. */
  readonly violations: readonly string[];
}

const shownMax = 8;

/** Collects what breaks a rule, and how much was looked at. */
export class Rule {
  readonly scenario: string;
  readonly rule: string;
  private readonly found: string[] = [];
  private count = 0;
  private broken = 0;

  constructor(scenario: string, rule: string) {
    this.scenario = scenario;
    this.rule = rule;
  }

  /** Looks at one thing; `violation` makes the words for it when it does not hold. */
  check(holds: boolean, violation: () => string): void {
    this.count += 1;
    if (holds) return;
    this.broken += 1;
    if (this.found.length < shownMax) this.found.push(violation());
  }

  get verdict(): Verdict {
    const { scenario, rule, count, broken, found } = this;
    return { scenario, rule, held: broken === 0, checked: count, violations: found };
  }
}

/**
 * A run in which nothing happened has shown nothing: each count has to reach its minimum.
 * @param counts what happened how often, and how often it has to
 */
export function enough(
  scenario: string,
  counts: Readonly<Record<string, readonly [found: number, least: number]>>,
): Verdict {
  const rule = new Rule(scenario, "enough happened to show something");
  for (const [what, [found, least]] of Object.entries(counts))
    rule.check(found >= least, () => `${what}: ${found}, at least ${least} are needed`);
  return rule.verdict;
}
