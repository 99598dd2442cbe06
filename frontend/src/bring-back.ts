// The deleted files of a session, in the dialog for a new file: who deleted them, when, and a button to bring one back.
import { call } from "./api";
import { byId, icon, make, relativeTime } from "./page";

interface DeletedFile {
  id: string;
  path: string;
  deleted_by: { username: string } | null;
  deleted_at: string | null;
}

/** Shows those that can be brought back; nothing where there are none. `bringBack` gets the one that was chosen. */
export async function listDeleted(address: string, bringBack: (id: string, path: string) => void): Promise<void> {
  const section = byId("file-deleted");
  section.hidden = true;
  const files = await call<DeletedFile[]>("GET", `${address}/deleted`).catch(() => []);
  section.hidden = files.length === 0;
  byId("file-deleted-list").replaceChildren(
    ...files.map(({ id, path, deleted_by, deleted_at }) => {
      const facts = [deleted_by && `by ${deleted_by.username}`, deleted_at && relativeTime(deleted_at)].filter(Boolean);
      const button = make("button", { type: "button", class: "button small", "aria-label": `Bring back ${path}`, click: () => bringBack(id, path) }, icon("rotate-cw"), "Bring back");
      const words = make("span", {}, path, facts.length > 0 && make("span", { class: "hint" }, ` deleted ${facts.join(" ")}`));
      return make("li", { class: "person" }, words, button);
    }),
  );
}
