/**
 * The scenario for the demo: `npm run demo -- --only rolling-deploy`.
 */
export { rollingDeploy } from "./rolling-deploy.ts";
