// Web addresses in what somebody wrote. They become links to where they say, and to nothing else.

/** Blanks, control and format characters, quotes and brackets that addresses do not hold. */
const ends = /[\s\p{Cc}\p{Cf}"<>`{}|\\^]/u;
/** Not of an address where it ends with them: they belong to the sentence. */
const SENTENCE_ENDS = ".,:;!?'*_~";
const MOST_LINKS = 50;

export interface Piece {
  text: string;
  /** Where it leads, if it is an address. */
  href: string | null;
}

/** Each character is looked at a fixed number of times, whatever the text is. */
export function addressesIn(text: string): Piece[] {
  const pieces: Piece[] = [];
  const start = /https?:\/\//gi;
  let plainFrom = 0;
  for (let count = 0; count < MOST_LINKS; ) {
    const found = start.exec(text);
    if (!found) break;
    let end = start.lastIndex;
    while (end < text.length && !ends.test(text.charAt(end))) end += 1;
    start.lastIndex = end;
    const address = trimmed(text.slice(found.index, end));
    const href = /[\p{L}\p{N}]/u.test(text.charAt(found.index - 1)) ? null : hrefOf(address);
    if (!href) continue;
    if (found.index > plainFrom) pieces.push({ text: text.slice(plainFrom, found.index), href: null });
    pieces.push({ text: address, href });
    plainFrom = found.index + address.length;
    count += 1;
  }
  if (plainFrom < text.length) pieces.push({ text: text.slice(plainFrom), href: null });
  return pieces;
}

function trimmed(address: string): string {
  let end = address.length;
  let open = 0;
  for (const character of address) open += character === "(" ? 1 : character === ")" ? -1 : 0;
  for (; end > 0; end -= 1) {
    const last = address.charAt(end - 1);
    if (last === ")" && open < 0) open += 1;
    else if (!SENTENCE_ENDS.includes(last)) break;
  }
  return address.slice(0, end);
}

/** Null for anything that is not an address, and for one that hides its host behind a name:
 * https://bank.example@elsewhere.example */
function hrefOf(address: string): string | null {
  if (!URL.canParse(address)) return null;
  const url = new URL(address);
  const isSafe = (url.protocol === "http:" || url.protocol === "https:") && !url.username && !url.password;
  return isSafe ? url.href : null;
}
