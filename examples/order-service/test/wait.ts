/** For whatever is waited for: reached by what never comes, not by what comes late on a machine that is busy with something else. */
export const WAIT: { readonly timeoutMs: number } = { timeoutMs: 120_000 };
