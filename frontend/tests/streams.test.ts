import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { StreamReader } from "../src/streams";

const whole = new TextEncoder().encode("grüße, 世界 🎈\n".repeat(400));
const expected = new TextDecoder().decode(whole);

/** A server that keeps `kept` of one stream and answers in pieces, as /api/execute/{job_id}/output does. */
async function withServer(kept: () => Uint8Array, body: () => Promise<void>): Promise<void> {
  const server = createServer((request, response) => {
    const from = Number(new URL(request.url, "http://host").searchParams.get("from"));
    const data = kept();
    const piece = data.subarray(from, from + 1000);
    response.setHeader("Content-Type", "application/json");
    response.end(
      JSON.stringify({ from, next: from + piece.length, total: data.length, data_base64: btoa(String.fromCharCode(...piece)) }),
    );
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const original = globalThis.fetch;
  globalThis.fetch = (path, options) => original(new URL(String(path), `http://127.0.0.1:${server.address().port}`), options);
  try {
    await body();
  } finally {
    globalThis.fetch = original;
    server.close();
  }
}

function reader(): { reader: StreamReader; text: () => string; leftOut: number[] } {
  let text = "";
  const leftOut: number[] = [];
  return {
    reader: new StreamReader("job", "stdout", (more) => (text += more), (bytes) => leftOut.push(bytes), [1, 2]),
    text: () => text,
    leftOut,
  };
}

test("characters that are split between pieces stay whole", () => {
  const one = reader();
  for (let at = 0; at < whole.length; at += 1) one.reader.take(at, whole.subarray(at, at + 1));
  one.reader.finish();
  assert.equal(one.text(), expected);
});

test("a gap is read from the server", async () => {
  await withServer(() => whole, async () => {
    const one = reader();
    one.reader.take(0, whole.subarray(0, 10));
    one.reader.take(2000, whole.subarray(2000, 2100));
    await one.reader.catchUp();
    one.reader.finish();
    assert.equal(one.text(), expected);
    assert.deepEqual(one.leftOut, []);
  });
});

test("what is announced while a gap is read is neither lost nor shown twice", async () => {
  let kept = whole.subarray(0, 3000);
  await withServer(() => kept, async () => {
    const one = reader();
    const reading = one.reader.catchUp();
    one.reader.take(2900, whole.subarray(2900, 3500));
    kept = whole;
    one.reader.take(3500, whole.subarray(3500));
    await reading;
    one.reader.take(3500, whole.subarray(3500));
    await one.reader.catchUp();
    assert.equal(one.text(), expected);
  });
});

test("a gap that the server stores a moment later is waited for", async () => {
  let looks = 0;
  const kept = (): Uint8Array => ((looks += 1) > 1 ? whole.subarray(0, 600) : whole.subarray(0, 100));
  await withServer(kept, async () => {
    const one = reader();
    one.reader.take(0, whole.subarray(0, 100));
    one.reader.take(500, whole.subarray(500, 600));
    await one.reader.catchUp();
    assert.deepEqual(one.leftOut, []);
    assert.equal(one.text(), new TextDecoder().decode(whole.subarray(0, 600), { stream: true }));
  });
});

test("bytes that the server did not keep are named", async () => {
  await withServer(() => whole.subarray(0, 100), async () => {
    const one = reader();
    one.reader.take(0, whole.subarray(0, 100));
    one.reader.take(5000, new TextEncoder().encode("tail"));
    await one.reader.catchUp();
    assert.deepEqual(one.leftOut, [4900]);
    assert.equal(one.text().endsWith("tail"), true);
  });
});
