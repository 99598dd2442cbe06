// Refuses an edit that would make a text larger than the server takes before it is made: nothing is lost, and what was
// written before can still be undone.
import { EditorState, type Extension, type Text } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { ySyncAnnotation } from "y-codemirror.next";

/** CodeMirror's own rule for files that it does not insert. */
const BINARY = /[\u0000-\u0008\u000e-\u001f]{2}/;
const encoder = new TextEncoder();

/** `mostBytes` is asked at each edit: the server says it, and until then it is Infinity. `refuse` gets the words. */
export function fitting(mostBytes: () => number, refuse: (words: string) => void): Extension {
  return [
    EditorState.transactionFilter.of((transaction) => {
      if (!transaction.docChanged || transaction.annotation(ySyncAnnotation)) return transaction;
      const most = mostBytes();
      const before = transaction.startState.doc;
      const bytes = bytesAbove(transaction.newDoc, most);
      if (bytes === 0 || transaction.newDoc.length <= before.length) return transaction;
      queueMicrotask(() => refuse(`${tooLongWords(most, bytes)} Nothing was changed.`));
      return [];
    }),
    EditorView.domEventObservers({
      drop: (event, view) => void tellOfBinary([...(event.dataTransfer?.files ?? [])], view, refuse),
      paste: ({ clipboardData }, view) => {
        if (!clipboardData?.getData("text/plain")) void tellOfBinary([...(clipboardData?.files ?? [])], view, refuse);
      },
    }),
  ];
}

/** The size of the text in UTF-8 if that is more than `most`, else 0. */
export function bytesAbove(text: Text, most: number): number {
  if (text.length * 3 <= most) return 0;
  let bytes = text.lines - 1;
  for (const part of text.iter()) if (part !== "\n") bytes += encoder.encode(part).length;
  return bytes > most ? bytes : 0;
}

async function tellOfBinary(files: File[], view: EditorView, refuse: (words: string) => void): Promise<void> {
  if (view.state.readOnly) return;
  for (const file of files) {
    if (BINARY.test(await file.slice(0, 65_536).text())) {
      refuse(`${file.name} is not a text file, so nothing was inserted.`);
      return;
    }
  }
}

export const tooLongWords = (most: number, bytes: number): string =>
  `A file can hold ${kilobytes(most)} of text, and this would make it ${kilobytes(bytes)}.`;

const kilobytes = (bytes: number): string => `${Math.ceil(bytes / 1024).toLocaleString("en")} KB`;
