#!/usr/bin/env node
// Fails when the WebAssembly that a browser must load before a page is interactive has grown too
// large, measured as the server sends it: compressed with brotli.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const BUDGET_BYTES = 300 * 1024;
const folder = fileURLToPath(new URL("../target/site/pkg", import.meta.url));
const kb = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;
const size = (name) => statSync(join(folder, name)).size;

const files = readdirSync(folder).filter((name) => name.endsWith(".wasm"));
if (files.length === 0) {
  console.error(`no .wasm in ${folder}: run make build first`);
  process.exit(1);
}
let total = 0;
for (const name of files) {
  total += size(`${name}.br`);
  console.log(`${name}: ${kb(size(name))}, with brotli ${kb(size(`${name}.br`))}`);
}
if (total > BUDGET_BYTES) {
  console.error(`${kb(total)} of WebAssembly is over the budget of ${kb(BUDGET_BYTES)}`);
  process.exit(1);
}
console.log(`${kb(total)} of the budget of ${kb(BUDGET_BYTES)}`);
