/**
 * The scenario for the demo: `npm run demo -- --only zombie-subtasks`.
 */
export { zombieSubtasks } from "./zombie-subtasks.ts";
