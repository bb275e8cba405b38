/** What a share of permits sees of the calls of its process, and tells them. */

/** The calls of this process. */
export interface LocalCalls {
  /** Permits in use. */
  inUse(): number;
  waiting(): number;
  /** Sets the limit. */
  allow(permits: number, because: string): void;
  /**
   * The lease is over and none can be had.
   * @param refused Redis has answered, with a refusal: nobody goes on alone then
   */
  unreachable(error: Error, refused: boolean): void;
  reached(): void;
}
