/**
 * Owns standard output: on a terminal, lines that stay and below them lines that change; anywhere else plain lines and nothing that moves.
 */
import { createLogUpdate } from "log-update";

/** Where a program shows what it does. */
export interface Screen {
  /** A line that stays. */
  say(line: string): void;
  /** Replaces the lines that change. */
  show(lines: readonly string[]): void;
  /** Takes the changing lines away and gives the cursor back. */
  close(): void;
}

/** How often the changing lines are printed where lines cannot change. */
const PLAIN_EVERY_MS = 2_000;

/** The screen for this stream. */
export function openScreen(stream: NodeJS.WriteStream): Screen {
  // A terminal that does not say how wide it is has no lines that could be replaced.
  return stream.isTTY && stream.columns > 0 ? liveScreen(stream) : plainScreen(stream);
}

function liveScreen(stream: NodeJS.WriteStream): Screen {
  const live = createLogUpdate(stream);
  return {
    say: (line) => live.persist(line),
    show: (lines) => (lines.length === 0 ? live.clear() : live(lines.join("\n"))),
    close: () => {
      live.clear();
      live.done();
    },
  };
}

function plainScreen(stream: NodeJS.WritableStream): Screen {
  let quietUntilMs = 0;
  const say = (line: string): void => void stream.write(`${line}\n`);
  return {
    say,
    show: (lines) => {
      const nowMs = performance.now();
      if (lines.length === 0 || nowMs < quietUntilMs) return;
      quietUntilMs = nowMs + PLAIN_EVERY_MS;
      for (const line of lines) say(line);
    },
    close: () => undefined,
  };
}
