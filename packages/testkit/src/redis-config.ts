/**
 * The text of a redis.conf.
 */

/** Directives of redis.conf by name. A list stands for a directive that is written several times, such as `save` or `user`. */
export type RedisConfig = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/**
 * Renders directives, one a line. A value is written as it is, so it may hold several words; an empty one becomes `""`.
 *
 * @throws TypeError when a name or value would break out of its line.
 */
export function renderRedisConfig(config: RedisConfig): string {
  const lines: string[] = [];
  for (const [name, setting] of Object.entries(config)) {
    for (const value of typeof setting === "object" ? setting : [setting]) {
      const text = typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
      const line = `${name} ${text === "" ? '""' : text}`;
      if (/[\r\n]/.test(line))
        throw new TypeError(`A redis.conf directive must be one line, got ${JSON.stringify(line)}.`);
      lines.push(line);
    }
  }
  return `${lines.join("\n")}\n`;
}
