#!/usr/bin/env node
// Writes a .br and a .gz beside every file of target/site that is worth it, as the server serves
// them. (cargo-leptos can do this too, but takes twenty times as long in a debug build.)
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const site = fileURLToPath(new URL("../target/site", import.meta.url));
const files = readdirSync(site, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(js|wasm|css|svg)$/.test(name))
  .map((name) => join(site, name));
for (const file of files) {
  const bytes = readFileSync(file);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params }));
  writeFileSync(`${file}.gz`, gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }));
}
