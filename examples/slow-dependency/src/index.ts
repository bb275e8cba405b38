/**
 * The scenario for the demo: `npm run demo -- --only slow-dependency`.
 */
export { slowDependency } from "./slow-dependency.ts";
