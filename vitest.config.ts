import { defineConfig } from "vitest/config";
import type { ViteUserConfig } from "vitest/config";

// Workspace packages resolve to their TypeScript sources, so no build comes before a test run.
const conditions = ["@holdfast/source", "node", "module", "default"];

const config: ViteUserConfig = defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: [
      "packages/*/test/**/*.test.ts",
      "scripts/test/**/*.test.ts",
      "examples/*/test/**/*.test.ts",
      "benchmarks/test/**/*.test.ts",
      "test-chaos/test/**/*.test.ts",
    ],
    pool: "forks",
    // Tests wait for servers and clocks most of the time: two cores have time for three of them.
    maxWorkers: 3,
    // Reached by what hangs, not by what is slow: a machine may be busy with something else for most of the time.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});

export default config;
