#!/usr/bin/env node
// Fails when the WebAssembly that a browser must load before the first page is interactive has
// grown too large, measured as the server sends it: compressed with brotli. A first page is one
// that people land on; it needs the main file and all files of its chunk (see app/src/pages/lazy.rs).
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const BUDGET_BYTES = 300 * 1024;
const FIRST_PAGES = { "/sign-in": undefined, "/my": "my", "/admin": "monitor" };
const folder = fileURLToPath(new URL("../target/site/pkg", import.meta.url));
const kb = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;
const size = (name, ending) => statSync(join(folder, `${name}.wasm${ending}`)).size;
const sum = (names, ending) => names.reduce((total, name) => total + size(name, ending), 0);

const chunks = JSON.parse(readFileSync(join(folder, "__wasm_split_manifest.json"), "utf8"));
const files = (chunk) => ["tollgate", ...(chunk ? chunks[chunk] : [])];
let isOver = false;
for (const [page, chunk] of Object.entries(FIRST_PAGES)) {
  const total = sum(files(chunk), ".br");
  isOver ||= total > BUDGET_BYTES;
  const raw = kb(sum(files(chunk), ""));
  console.log(`${page}: ${kb(total)} of ${kb(BUDGET_BYTES)} with brotli, ${raw} raw, ${files(chunk).length} files`);
}
for (const chunk of Object.keys(chunks)) {
  console.log(`(the pages of chunk ${chunk}: ${kb(sum(files(chunk), ".br"))} with brotli)`);
}
if (isOver) {
  console.error("a first page needs more WebAssembly than the budget allows");
  process.exit(1);
}
