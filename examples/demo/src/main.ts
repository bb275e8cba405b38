/**
 * `npm run demo`.
 */
import { runDemo } from "./demo.ts";
import { scenarios } from "./scenarios.ts";

process.exitCode = await runDemo(process.argv.slice(2), scenarios);
