/**
 * The script claim with its typed reply. The usual reply is a single text of lines, since each text of a list is made, sent and read for
 * itself; what does not fit into lines comes as a list.
 */
import { decodeTagged, UnexpectedReplyError } from "@holdfast/core";
import type { Script } from "@holdfast/core";
import * as lua from "./scripts.generated.ts";
import { layoutChanged, shardScript } from "./scripts.ts";

/** A batch of leased timers. */
export interface ClaimReply {
  readonly nowUs: number;
  /** The fencing token of the whole batch. */
  readonly token: number;
  /** End of the lease as the server wrote it; with the token it identifies the lease. */
  readonly leaseEnd: string;
  /** Earliest deadline that is not due, or undefined. */
  readonly nextUs: number | undefined;
  readonly trouble: string;
  /** Ids whose acknowledgement is for settle. */
  readonly refused: readonly string[];
  /** Id and record, in turn. */
  readonly timers: readonly string[];
  /** In microseconds, in the order of timers; empty when they are those of the records. */
  readonly deadlines: readonly string[];
  /** In the order of timers; empty when there are none. */
  readonly notes: readonly (string | null)[];
}

/** Lines of an answer before those of its timers. */
const claimHeadLines = 6;
const claimTimerLines = 2;

/** The answer of claim as lines of one text. */
function claimOfLines(operation: string, reply: string): ClaimReply {
  const lines = reply.split("\n");
  const [tag, now, tokenText, leaseEnd, next, trouble] = lines;
  const nowUs = Number(now);
  const token = Number(tokenText);
  const nextUs = next === "" ? undefined : Number(next);
  const timers = lines.slice(claimHeadLines);
  const sound = tag === "claimed" && nowUs > 0 && token > 0 && Number(leaseEnd) > 0 && !Number.isNaN(nextUs);
  if (!sound || trouble === undefined || timers.length === 0 || timers.length % claimTimerLines !== 0)
    throw new UnexpectedReplyError(operation, "claimed, and two lines for each timer", reply);
  return { nowUs, token, leaseEnd: leaseEnd as string, nextUs, trouble, refused: [], timers, deadlines: [], notes: [] };
}

/** Id and record, in turn, from two lists. */
function zipped(ids: readonly unknown[], records: readonly unknown[]): string[] {
  return records.flatMap((record, index) => [ids[index] as string, (record ?? "") as string]);
}

/** Takes acknowledgements and leases due timers. */
export const claimScript: Script<typeof lua.claim, ClaimReply | "outrun" | undefined> = shardScript(
  lua.claim,
  (reply, operation) => {
    if (typeof reply === "string") return claimOfLines(operation, reply);
    return decodeTagged<ClaimReply | "outrun" | undefined>(operation, reply, {
      layout: layoutChanged,
      outrun: (fields) => {
        fields.integer();
        return "outrun";
      },
      claimed: (fields) => {
        const nowUs = fields.integer();
        const token = fields.text();
        const leaseEnd = fields.text();
        const next = fields.text();
        const trouble = fields.text();
        return {
          nowUs,
          token: Number(token),
          leaseEnd,
          nextUs: next === "" ? undefined : Number(next),
          trouble,
          refused: fields.list() as string[],
          timers: zipped(fields.list(), fields.list()),
          deadlines: fields.list() as string[],
          notes: fields.list() as (string | null)[],
        };
      },
    });
  },
);
