// Text can be read on whatever it is laid on, in the light and in the dark: WCAG's contrast of 4.5 to 1.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const [usual = "", more = ""] = readFileSync("styles/tokens.css", "utf8").split("@media (prefers-contrast: more)");
const AREAS = ["page", "surface", "raised", "line"];
const CODE = ["keyword", "string", "number", "comment", "function", "type", "property", "punctuation"].map((name) => `code-${name}`);
const HUES = Array.from({ length: 8 }, (_, number) => `hue-${number}`);

type Pair = [light: string, dark: string];

function tokens(css: string): Map<string, Pair> {
  const found = css.matchAll(/--([\w-]+): light-dark\((oklch\([^)]*\)), (oklch\([^)]*\))\)/g);
  return new Map([...found].map(([, name = "", light = "", dark = ""]) => [name, [light, dark]]));
}

/** Relative luminance of an oklch() colour: https://www.w3.org/TR/css-color-4/#color-conversion-code */
function luminance(colour: string): number {
  const [lightness = 0, chroma = 0, hue = 0] = colour.slice(6).split(" ").map((part) => parseFloat(part));
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const channels = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((value) => Math.min(1, Math.max(0, value)));
  return 0.2126 * (channels[0] ?? 0) + 0.7152 * (channels[1] ?? 0) + 0.0722 * (channels[2] ?? 0);
}

function tooWeak(colours: Map<string, Pair>, texts: string[], areas: string[], least: number): string[] {
  const weak: string[] = [];
  for (const text of texts) {
    for (const area of areas) {
      for (const scheme of [0, 1] as const) {
        const both = [colours.get(text)?.[scheme] ?? "", colours.get(area)?.[scheme] ?? ""].map(luminance);
        const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
        if (!(contrast >= least)) weak.push(`${text} on ${area}, ${scheme === 0 ? "light" : "dark"}: ${contrast.toFixed(2)}`);
      }
    }
  }
  return weak;
}

test("every text colour can be read on every area", () => {
  const colours = tokens(usual);
  const texts = ["text", "muted", "faint", "accent", "good", "waiting", "danger", "bot"];
  assert.deepEqual(tooWeak(colours, texts, AREAS, 4.5), []);
  assert.deepEqual(tooWeak(colours, ["text", "muted"], ["waiting-soft", "match", "accent-soft"], 4.5), []);
  assert.deepEqual(tooWeak(colours, ["text", "danger"], ["danger-soft"], 4.5), []);
});

test("code can be read, also where it is selected", () => {
  assert.deepEqual(tooWeak(tokens(usual), ["text", ...CODE], ["surface", "line", "selection", "match"], 4.5), []);
});

test("initials and buttons can be read on their colour", () => {
  assert.deepEqual(tooWeak(tokens(usual), ["on-hue"], HUES, 4.5), []);
  assert.deepEqual(tooWeak(tokens(usual), ["on-accent"], ["accent", "accent-hover"], 4.5), []);
});

test("whoever asks for more contrast gets 7 to 1", () => {
  const colours = new Map([...tokens(usual), ...tokens(more)]);
  assert.deepEqual(tooWeak(colours, ["text", "muted", "faint", "accent", "waiting", "danger"], AREAS, 7), []);
});
