/**
 * Reads variables, each with its range and its default. All mistakes are collected and reported together, so that a wrong deployment is
 * corrected in one go.
 */

/** The environment does not describe a service that could run. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(["The configuration is not usable:", ...problems.map((problem) => `  ${problem}`)].join("\n"));
    this.problems = problems;
  }
}

/** The variables of one process. */
export class Environment {
  private readonly env: Readonly<Record<string, string | undefined>>;
  private readonly problems: string[] = [];

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.env = env;
  }

  /** Notes a mistake. */
  problem(line: string): void {
    this.problems.push(line);
  }

  /** @throws ConfigError when there was a mistake. */
  finish(): void {
    if (this.problems.length > 0) throw new ConfigError(this.problems);
  }

  text(name: string, fallback: string): string {
    return this.get(name) ?? fallback;
  }

  /** Whether it is set to anything. */
  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const raw = this.get(name);
    if (raw === undefined) return fallback;
    const value = /^\d+$/.test(raw) ? Number(raw) : Number.NaN;
    if (value >= min && value <= max) return value;
    this.problem(`${name} must be a whole number from ${min} to ${max}, got ${JSON.stringify(raw)}`);
    return fallback;
  }

  oneOf<const T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const raw = this.get(name);
    if (raw === undefined) return fallback;
    const found = allowed.find((word) => word === raw);
    if (found !== undefined) return found;
    this.problem(`${name} must be one of ${allowed.join(", ")}, got ${JSON.stringify(raw)}`);
    return fallback;
  }

  /** The value itself is never repeated in a message: it may hold a password. */
  url(name: string, protocols: readonly string[]): string {
    const raw = this.get(name);
    const like = protocols.map((protocol) => `${protocol}//host`).join(" or ");
    if (raw === undefined) {
      this.problem(`${name} is missing; it must look like ${like}`);
      return "";
    }
    const url = URL.canParse(raw) ? new URL(raw) : undefined;
    if (url === undefined || !protocols.includes(url.protocol)) this.problem(`${name} must look like ${like}`);
    return raw;
  }

  /** An empty variable is a variable that was not set: that is how most deployment templates unset one. */
  private get(name: string): string | undefined {
    const raw = this.env[name]?.trim();
    return raw === "" ? undefined : raw;
  }
}
