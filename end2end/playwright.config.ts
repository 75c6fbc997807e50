import { defineConfig } from "@playwright/test";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

// The system's browser: nothing is downloaded.
const executablePath = execFileSync(
  fileURLToPath(new URL("../scripts/chromium.sh", import.meta.url)),
  { encoding: "utf8" },
).trim();

const asRoot = process.getuid?.() === 0;

export default defineConfig({
  testDir: "tests",
  outputDir: "test-results",
  // Each worker has a Tollgate of its own, with a Postgres of its own.
  workers: process.env.CI ? 1 : 2,
  // A test that passes only sometimes has found something.
  retries: 0,
  forbidOnly: true,
  timeout: 90_000,
  expect: { timeout: 10_000 },
  reporter: [["list"]],
  use: {
    locale: "en-GB",
    timezoneId: "Asia/Shanghai",
    colorScheme: "light",
    viewport: { width: 1280, height: 900 },
    screenshot: "only-on-failure",
    launchOptions: {
      executablePath,
      args: [
        ...(asRoot ? ["--no-sandbox"] : []),
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        // The browser's own errands: they find no network in a closed one, and slow everything.
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
  projects: [
    { name: "chromium", testIgnore: "screenshots.spec.ts" },
    { name: "screenshots", testMatch: "screenshots.spec.ts", timeout: 600_000 },
  ],
});
