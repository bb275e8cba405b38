/**
 * The process: configuration in, one replica, signals. Ends with status 0 after a stop that was asked for, 1 otherwise.
 */
import { readConfig, type Config } from "./config.ts";
import { ConfigError } from "./environment.ts";
import { OrderService } from "./order-service.ts";

/** A stop that hangs must not wait for SIGKILL: the exit status should tell. */
const OVERTIME_MS = 500;

function configOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}

/** Listens before anything is opened: as process 1 of a container, a program without a handler does not hear SIGTERM at all. */
function stopAsked(config: Config): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (): void => {
      if (asked) process.exit(1);
      asked = true;
      setTimeout(() => process.exit(1), config.shutdownGraceMs + OVERTIME_MS).unref();
      resolve();
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}

const config = configOrExit();
const asked = stopAsked(config);
try {
  const service = await OrderService.start(config);
  await asked;
  await service.stop();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
// The signal handlers keep nothing alive; whatever else might, does not hold up the deployment.
process.exit();
