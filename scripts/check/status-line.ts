/**
 * Owns the one line that says which step runs and for how long. On a terminal it is rewritten each second; elsewhere it is a line when a step
 * ends, and one each half minute while a long one runs, so that a log never falls silent.
 */
import { stderr } from "node:process";

/** The live status of one step. */
export interface StatusLine {
  report(words: string): void;
  end(mark: string, words: string): void;
}

const QUIET_LOG_MS = 30_000;

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}

/** Starts the line of a step. */
export function openStatusLine(name: string): StatusLine {
  const startedMs = performance.now();
  let words = "";
  const line = (mark: string): string =>
    `${mark} ${name.padEnd(12)} ${seconds(startedMs).padStart(8)}  ${words}`.trimEnd();
  const draw = (): void => {
    if (stderr.isTTY) stderr.write(`\r\u001b[2K${line("…").slice(0, (stderr.columns ?? 80) - 1)}`);
    else stderr.write(`${line("…")}\n`);
  };
  if (stderr.isTTY) draw();
  const timer = setInterval(draw, stderr.isTTY ? 1_000 : QUIET_LOG_MS);
  return {
    report(next) {
      words = next;
      if (stderr.isTTY) draw();
    },
    end(mark, last) {
      clearInterval(timer);
      words = last;
      stderr.write(`${stderr.isTTY ? "\r\u001b[2K" : ""}${line(mark)}\n`);
    },
  };
}
