// Bundles the pages' scripts, styles, fonts and icons into build/static/app, where Django's static files find them.
// `node build.mjs` builds once, minified; `node build.mjs --watch` rebuilds on change, with source maps.
import { copyFile, mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const served = join(here, "..", "build", "static", "app");
const watching = process.argv.includes("--watch");
// A finished build takes the place of the old one at once, so that a running server never misses a file.
const output = watching ? served : `${served}.${process.pid}`;

/** What the editor page may load before it can be used, with gzip: the rest is loaded when it is first needed. */
const EDITOR_MOST_BYTES = 185 * 1024;

const icons = [
  "arrow-down", "arrow-left", "arrow-right", "bot", "check", "chevron-right", "circle-alert", "circle-check", "circle-stop", "circle-x", "clock", "copy",
  "corner-down-left", "download", "ellipsis", "eye", "eye-off", "flag", "folder-archive", "git-fork", "globe", "hourglass", "link", "loader-circle", "log-out", "memory-stick",
  "monitor", "moon", "play", "plus", "rotate-cw", "scissors", "search", "send-horizontal", "server-crash", "square", "sun", "user", "user-plus", "users", "x",
];

async function writeIcons() {
  const symbols = await Promise.all(
    icons.map(async (name) => {
      const source = await readFile(join(here, "node_modules", "lucide-static", "icons", `${name}.svg`), "utf8");
      const shapes = source.slice(source.indexOf(">", source.indexOf("<svg")) + 1, source.lastIndexOf("</svg>"));
      return `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" ` +
        `stroke-linecap="round" stroke-linejoin="round">${shapes.replace(/\s*\n\s*/g, "")}</symbol>`;
    }),
  );
  await writeFile(join(output, "icons.svg"), `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`);
}

async function copyImages() {
  const from = join(here, "images");
  for (const name of await readdir(from)) await copyFile(join(from, name), join(output, name));
}

const shared = {
  bundle: true,
  minify: !watching,
  sourcemap: watching,
  legalComments: "none",
  logLevel: "warning",
  outdir: output,
  metafile: true,
};

const modules = {
  ...shared,
  entryPoints: { editor: join(here, "src", "main.ts"), site: join(here, "src", "site.ts") },
  format: "esm",
  splitting: true,
  // For languages/editor.ts, which lies outside.
  nodePaths: [join(here, "node_modules")],
  target: "es2022",
  // Django's hashed static files do not rewrite import(), so the chunks carry their own hash.
  chunkNames: "chunks/[name]-[hash]",
};

// Runs before the first paint, so it is a plain script and not a module.
const early = { ...shared, entryPoints: { theme: join(here, "src", "theme.ts") }, format: "iife", target: "es2020" };

const styles = {
  ...shared,
  entryPoints: { app: join(here, "styles", "app.css"), admin: join(here, "styles", "admin.css"), api: join(here, "styles", "api.css") },
  loader: { ".woff2": "file" },
  assetNames: "fonts/[name]",
};

async function prepare() {
  await rm(output, { recursive: true, force: true });
  await mkdir(output, { recursive: true });
  await Promise.all([writeIcons(), copyImages()]);
}

async function buildOnce() {
  const started = performance.now();
  const results = await Promise.all([modules, early, styles].map((options) => esbuild.build(options)));
  for (const { metafile } of results) await showSizes(metafile.outputs);
  await rm(served, { recursive: true, force: true });
  await rename(output, served);
  console.log(`Built in ${((performance.now() - started) / 1000).toFixed(2)} s`);
}

/** Prints the size of each entry point with the chunks that are loaded with it. */
async function showSizes(outputs) {
  for (const [path, { entryPoint }] of Object.entries(outputs)) {
    const name = relative(output, resolve(path));
    if (!entryPoint || dirname(name) !== ".") continue;
    let [bytes, zipped] = [0, 0];
    for (const part of loadedWith(path, outputs)) {
      const content = await readFile(part);
      bytes += content.length;
      zipped += gzipSync(content, { level: 9 }).length;
    }
    const sizes = [bytes, zipped].map((size) => (size / 1024).toFixed(1).padStart(7));
    console.log(`${name.padEnd(10)} ${sizes[0]} KB ${sizes[1]} KB gzip`);
    if (name === "editor.js" && zipped > EDITOR_MOST_BYTES && !watching) {
      throw new Error(`The editor page loads more than ${EDITOR_MOST_BYTES / 1024} KB at once. Import what it needs later by import().`);
    }
  }
}

/** The output and all that it imports by itself, not by import(). */
function loadedWith(path, outputs, found = new Set()) {
  if (found.has(path)) return found;
  found.add(path);
  for (const { path: next, kind } of outputs[path].imports) if (kind === "import-statement") loadedWith(next, outputs, found);
  return found;
}

try {
  await prepare();
  if (watching) {
    const contexts = await Promise.all([modules, early, styles].map((options) => esbuild.context(options)));
    await Promise.all(contexts.map((context) => context.watch()));
    console.log("Watching frontend/. Stop with Ctrl+C.");
  } else {
    await buildOnce();
  }
} catch (failure) {
  if (!watching) await rm(output, { recursive: true, force: true });
  throw failure;
}
