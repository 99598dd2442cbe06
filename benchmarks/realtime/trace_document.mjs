// trace_document.mjs TRACE.json.gz EDITS OUT: the update of a document in which one person writes the trace over and over
// until there were so many edits, deleting everything in between. Nothing of what was deleted is left out.
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import * as Y from "yjs";

const [tracePath, wanted, outPath] = process.argv.slice(2);
const trace = JSON.parse(gunzipSync(readFileSync(tracePath)).toString());
const edits = Number(wanted);
const doc = new Y.Doc();
doc.clientID = 10;
const text = doc.getText("main");
const parts = [];
let updates = [];
doc.on("update", (update) => updates.push(update));

let done = 0;
while (done < edits) {
  text.delete(0, text.length);
  text.insert(0, trace.startContent);
  for (const { patches } of trace.txns) {
    if (done >= edits) break;
    for (const [position, deleted, inserted] of patches) {
      if (deleted) text.delete(position, deleted);
      if (inserted) text.insert(position, inserted);
      done += 1;
    }
    if (updates.length > 5000) {
      parts.push(Y.mergeUpdates(updates));
      updates = [];
    }
  }
}
writeFileSync(outPath, Y.mergeUpdates([...parts, ...updates]));
