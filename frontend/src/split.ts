// Cuts an update that is too large for one frame into several that can be merged one after the other: an edit of many
// pieces is many times as long on the wire as its text.
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import * as Y from "yjs";

export const SYNC = 0;
export const STEP_1 = 0;
export const STEP_2 = 1;
export const UPDATE = 2;

type Struct = Y.Item | Y.GC | Y.Skip;

interface Range {
  client: number;
  clock: number;
  len: number;
}

interface Part {
  structs: Struct[];
  ranges: Range[];
  size: number;
}

/** What a struct takes at most besides its text: info, two ids, a length; and the name of its root, without neighbours. */
const STRUCT_BYTES = 34;
const ROOT_BYTES = 40;
const RANGE_BYTES = 18;
/** What the frame and the part have around them. */
const HEAD_BYTES = 64;

/** A frame of the sync protocol as frames of at most `most` bytes. The last is of the kind that the whole was. */
export function splitFrame(frame: Uint8Array, most: number): Uint8Array[] {
  if (frame.length <= most) return [frame];
  const kind = frame[1] as number;
  // An answer has all deletions that this page knows of, and most of them are no news.
  const parts = splitUpdate(updateIn(frame), most, kind === STEP_2);
  return parts.map((part, index) => {
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, SYNC);
    encoding.writeVarUint(encoder, index === parts.length - 1 ? kind : UPDATE);
    encoding.writeVarUint8Array(encoder, part);
    return encoding.toUint8Array(encoder);
  });
}

/** What a frame of the sync protocol carries: an update, or in step 1 a state vector. */
export function updateIn(frame: Uint8Array): Uint8Array {
  const decoder = decoding.createDecoder(frame);
  decoding.readVarUint(decoder);
  decoding.readVarUint(decoder);
  return decoding.readVarUint8Array(decoder);
}

/** Updates that say together what this one says, each of which builds on those before it only. What an insertion takes
 * the place of is deleted with it, so that no text is seen, or counted, twice; with `deletionsFirst`, or where the text
 * would meanwhile be longer than before and after, everything is deleted first. */
export function splitUpdate(update: Uint8Array, most: number, deletionsFirst = false): Uint8Array[] {
  const { structs, ds } = Y.decodeUpdate(update);
  const ordered = inOrder((structs as Struct[]).flatMap((struct) => pieces(struct, Math.floor((most - HEAD_BYTES) / 4))));
  const deletions = new Deletions(ds.clients, ordered);
  const steps = ordered.map((struct) => ({ struct, ranges: deletionsFirst ? [] : deletions.replacedBy(struct) }));
  const isFirst = deletionsFirst || growsPastItsEnd(steps);
  const replaced = new Set(isFirst ? [] : steps.flatMap(({ ranges }) => ranges));
  const parts: Part[] = [{ structs: [], ranges: [], size: HEAD_BYTES }];
  const put = (size: number, add: (part: Part) => void): void => {
    let part = parts.at(-1) as Part;
    if (part.size + size > most && part.size > HEAD_BYTES) parts.push((part = { structs: [], ranges: [], size: HEAD_BYTES }));
    part.size += size;
    add(part);
  };
  const putRanges = (ranges: Range[]): void => ranges.forEach((range) => put(RANGE_BYTES, (part) => part.ranges.push(range)));
  putRanges(deletions.old.filter((range) => !replaced.has(range)));
  for (const { struct, ranges } of steps) {
    put(sizeOf(struct), (part) => part.structs.push(struct));
    if (!isFirst) putRanges(ranges);
    putRanges(deletions.endingIn(struct));
  }
  return parts.map(encode);
}

/** Whether the text is longer on the way than before and after. */
function growsPastItsEnd(steps: { struct: Struct; ranges: Range[] }[]): boolean {
  let [length, longest] = [0, 0];
  for (const { struct, ranges } of steps) {
    length += struct instanceof Y.Item && struct.content.isCountable() ? struct.length : 0;
    for (const { len } of ranges) length -= len;
    longest = Math.max(longest, length);
  }
  return longest > Math.max(0, length);
}

/** The deletions of an update, by what they delete. */
class Deletions {
  /** Deletions of what was there before the update. */
  readonly old: Range[] = [];
  readonly #old = new Map<number, Range[]>();
  readonly #new = new Map<number, Range[]>();

  constructor(clients: Map<number, { clock: number; len: number }[]>, structs: Struct[]) {
    const starts = new Map<number, number>();
    const ends = new Map<number, number>();
    for (const { id, length } of structs) {
      starts.set(id.client, Math.min(id.clock, starts.get(id.client) ?? Infinity));
      ends.set(id.client, Math.max(id.clock + length, ends.get(id.client) ?? 0));
    }
    for (const [client, items] of clients) {
      const ranges = items.map(({ clock, len }) => ({ client, clock, len })).sort((one, other) => one.clock - other.clock);
      const isNew = ({ clock, len }: Range): boolean => clock + len > (starts.get(client) ?? Infinity) && clock < (ends.get(client) ?? 0);
      const old = ranges.filter((range) => !isNew(range));
      this.old.push(...old);
      this.#old.set(client, old);
      this.#new.set(client, ranges.filter(isNew).reverse());
    }
  }

  /** Those next to which this is inserted; each once. */
  replacedBy(struct: Struct): Range[] {
    if (!(struct instanceof Y.Item)) return [];
    const found: Range[] = [];
    for (const id of [struct.origin, struct.rightOrigin]) {
      const range = id && rangeWith(this.#old.get(id.client) ?? [], id.clock);
      if (!range || this.#taken.has(range)) continue;
      this.#taken.add(range);
      found.push(range);
    }
    return found;
  }

  readonly #taken = new Set<Range>();

  /** Those of what the update itself brings that are whole with this struct; each once. */
  endingIn({ id, length }: Struct): Range[] {
    const ranges = this.#new.get(id.client) ?? [];
    const found: Range[] = [];
    for (let next = ranges.at(-1); next && next.clock + next.len <= id.clock + length; next = ranges.at(-1)) {
      found.push(next);
      ranges.pop();
    }
    return found;
  }
}

function rangeWith(ranges: Range[], clock: number): Range | undefined {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const half = (low + high) >> 1;
    if ((ranges[half] as Range).clock <= clock) low = half + 1;
    else high = half;
  }
  const range = ranges[low - 1];
  return range && clock < range.clock + range.len ? range : undefined;
}

/** Splits a struct whose text is longer than `most` into several, none of which ends inside a character. */
function pieces(struct: Struct, most: number): Struct[] {
  if (!(struct instanceof Y.Item) || !(struct.content instanceof Y.ContentString) || struct.length <= most) return [struct];
  const { str } = struct.content;
  const { client, clock } = struct.id;
  const found: Struct[] = [];
  for (let from = 0, to = 0; from < str.length; from = to) {
    to = Math.min(from + most, str.length);
    if (to < str.length && /[\ud800-\udbff]/.test(str.charAt(to - 1))) to -= 1;
    const origin = from > 0 ? Y.createID(client, clock + from - 1) : struct.origin;
    const content = new Y.ContentString(str.slice(from, to));
    found.push(new Y.Item(Y.createID(client, clock + from), null, origin, null, struct.rightOrigin, struct.parent, struct.parentSub, content));
  }
  return found;
}

/** Every struct after those that it builds on; of each client in the order of its clocks. */
function inOrder(structs: Struct[]): Struct[] {
  const queues = new Map<number, Struct[]>();
  for (const struct of structs) {
    const queue = queues.get(struct.id.client);
    if (queue) queue.push(struct);
    else queues.set(struct.id.client, [struct]);
  }
  for (const queue of queues.values()) queue.reverse();
  const ordered: Struct[] = [];
  for (const client of queues.keys()) {
    const stack = [client];
    while (stack.length > 0) {
      const queue = queues.get(stack.at(-1) as number) as Struct[];
      const struct = queue.at(-1);
      const needed = struct && neededBy(struct).find((id) => isWaiting(queues.get(id.client), id.clock) && !stack.includes(id.client));
      if (needed) {
        stack.push(needed.client);
        continue;
      }
      if (struct) ordered.push(queue.pop() as Struct);
      if (!struct || stack.length > 1) stack.pop();
    }
  }
  return ordered;
}

const isWaiting = (queue: Struct[] | undefined, clock: number): boolean => {
  const [next, last] = [queue?.at(-1), queue?.[0]];
  return !!next && !!last && next.id.clock <= clock && clock < last.id.clock + last.length;
};

function neededBy(struct: Struct): Y.ID[] {
  if (!(struct instanceof Y.Item)) return [];
  return [struct.origin, struct.rightOrigin, struct.parent].filter((id): id is Y.ID => id instanceof Y.ID);
}

function sizeOf(struct: Struct): number {
  if (!(struct instanceof Y.Item)) return STRUCT_BYTES;
  const root = struct.origin || struct.rightOrigin ? 0 : ROOT_BYTES;
  if (struct.content instanceof Y.ContentString) return STRUCT_BYTES + root + 3 * struct.length;
  if (struct.content instanceof Y.ContentDeleted) return STRUCT_BYTES + root;
  // A path in the list of files, or something that no text holds.
  const encoder = new Y.UpdateEncoderV1();
  struct.write(encoder, 0);
  return STRUCT_BYTES + encoder.toUint8Array().length;
}

/** As one update. Structs of one client follow one another without a gap. */
export function encode({ structs, ranges }: Pick<Part, "structs" | "ranges">): Uint8Array {
  const encoder = new Y.UpdateEncoderV1();
  // Yjs writes the clients with higher numbers first.
  const byClient = (found: Map<number, any[]>, client: number): any[] => found.get(client) ?? found.set(client, []).get(client) ?? [];
  const blocks = new Map<number, Struct[]>();
  for (const struct of structs) byClient(blocks, struct.id.client).push(struct);
  encoding.writeVarUint(encoder.restEncoder, blocks.size);
  for (const [client, own] of [...blocks].sort(([one], [other]) => other - one)) {
    encoding.writeVarUint(encoder.restEncoder, own.length);
    encoder.writeClient(client);
    encoding.writeVarUint(encoder.restEncoder, own[0]?.id.clock ?? 0);
    for (const struct of own) struct.write(encoder, 0);
  }
  const deleted = new Map<number, Range[]>();
  for (const range of ranges) byClient(deleted, range.client).push(range);
  encoding.writeVarUint(encoder.restEncoder, deleted.size);
  for (const [client, own] of [...deleted].sort(([one], [other]) => other - one)) {
    encoder.resetDsCurVal();
    encoding.writeVarUint(encoder.restEncoder, client);
    encoding.writeVarUint(encoder.restEncoder, own.length);
    for (const { clock, len } of own.sort((one, other) => one.clock - other.clock)) {
      encoder.writeDsClock(clock);
      encoder.writeDsLen(len);
    }
  }
  return encoder.toUint8Array();
}
