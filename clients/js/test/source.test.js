import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as client from "../sockeye.js";

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");

test("the source has at most 9,216 bytes", () => {
  const size = Buffer.byteLength(read("sockeye.js"));
  assert.ok(size <= 9_216, `${size} bytes`);
});

test("the source imports nothing, and the package depends on nothing", () => {
  assert.doesNotMatch(read("sockeye.js"), /\bimport\b|\brequire\b/);
  assert.equal(JSON.parse(read("package.json")).dependencies, undefined);
});

test("the types declare each export", () => {
  const types = read("sockeye.d.ts");
  for (const name of Object.keys(client)) assert.match(types, new RegExp(`export (class|const) ${name}\\b`));
});

test("the package holds the source, the types, and this license", () => {
  const { files, license, type } = JSON.parse(read("package.json"));
  assert.deepEqual(files, ["sockeye.js", "sockeye.d.ts"]);
  assert.equal(license, "MIT OR Apache-2.0");
  assert.equal(type, "module");
});
