/** redlock's own declarations do not resolve under NodeNext; redlock.ts says what it exports. */
declare module "redlock";
