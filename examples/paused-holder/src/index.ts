/**
 * The scenario for the demo: `npm run demo -- --only paused-holder`.
 */
export { pausedHolder } from "./paused-holder.ts";
