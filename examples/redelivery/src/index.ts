/**
 * The scenario for the demo: `npm run demo -- --only redelivery`.
 */
export { redelivery } from "./redelivery.ts";
