// Bundles tests/*.test.ts and runs them with Node's own test runner.
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const tests = join(here, "tests");
const output = await mkdtemp(join(tmpdir(), "codecrafter-frontend-"));
try {
  const names = (await readdir(tests)).filter((name) => name.endsWith(".test.ts"));
  await esbuild.build({
    entryPoints: names.map((name) => join(tests, name)),
    bundle: true,
    format: "esm",
    platform: "node",
    outdir: output,
    nodePaths: [join(here, "node_modules")],
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
  });
  const files = names.map((name) => join(output, name.replace(/\.ts$/, ".mjs")));
  process.exitCode = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  await rm(output, { recursive: true, force: true });
}
