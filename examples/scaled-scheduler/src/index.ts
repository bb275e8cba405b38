/**
 * The scenario for the demo: `npm run demo -- --only scaled-scheduler`.
 */
export { scaledScheduler } from "./scaled-scheduler.ts";
