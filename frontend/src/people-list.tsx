// The list of everybody who is here: name, permission, file and line, and a way there. Loaded when it is first opened,
// mounted while it is open.
import { type JSX, render } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { reasonOf } from "./api";
import type { Face } from "./faces";
import { Icon } from "./icon";
import type { Present } from "./messages";
import { lookOf, type PeopleOptions, permissionWords } from "./people";
import type { Whereabouts } from "./whereabouts";

/** From this many people on, the list can be searched by name. */
const MANY = 8;

export interface PeopleListProps extends Pick<PeopleOptions, "me" | "goTo" | "rename"> {
  people: readonly Present[];
  faces: ReadonlyMap<string, Face>;
  places: ReadonlyMap<string, Whereabouts>;
  countWords: string;
}

/** Renders the list into `panel`, or updates it; null removes it. */
export function showPeople(panel: HTMLElement, props: PeopleListProps | null): void {
  render(props && <PeopleList {...props} />, panel);
}

function PeopleList({ people, faces, places, countWords, me, goTo, rename }: PeopleListProps): JSX.Element {
  const [wanted, setWanted] = useState("");
  const title = useRef<HTMLHeadingElement>(null);
  const focusTitle = (): void => title.current?.focus();
  // A screen reader hears the count; and no keyboard comes up on a phone.
  useLayoutEffect(focusTitle, []);
  const name = wanted.trim().toLowerCase();
  const found = people.filter(({ username }) => username.toLowerCase().includes(name));
  return (
    <>
      <h2 id="people-title" tabIndex={-1} ref={title}>{countWords}</h2>
      <input
        class="field"
        type="search"
        aria-label="Find by name"
        placeholder="Find by name"
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        hidden={people.length < MANY && !wanted}
        value={wanted}
        onInput={({ currentTarget }) => setWanted(currentTarget.value)}
      />
      <ul class="here-list" aria-labelledby="people-title">
        {found.map((person) => (
          <Row
            key={person.id}
            person={person}
            face={faces.get(person.id)}
            place={places.get(person.id)}
            isMe={person.id === me.id}
            goTo={goTo}
            focusLost={focusTitle}
          />
        ))}
      </ul>
      <p class="hint here-none" hidden={found.length > 0}>Nobody here has that name.</p>
      <p class="visually-hidden" role="status">{name && `${found.length} of ${people.length}`}</p>
      {me.is_guest && <NameForm username={me.username} rename={rename} />}
    </>
  );
}

interface RowProps {
  person: Present;
  face: Face | undefined;
  place: Whereabouts | undefined;
  isMe: boolean;
  goTo(place: Whereabouts): void;
  /** The row goes away with the keyboard's focus in it. */
  focusLost(): void;
}

function Row({ person, face, place, isMe, goTo, focusLost }: RowProps): JSX.Element {
  const row = useRef<HTMLLIElement>(null);
  useLayoutEffect(() => () => {
    if (row.current?.contains(document.activeElement)) focusLost();
  }, []);
  const { className, letters, mark } = lookOf(person, face);
  const where = place && `${place.file.path}, line ${place.line}`;
  const marks = [isMe && "you", person.is_bot && "bot", person.is_guest && "guest"].filter(Boolean).join(", ");
  return (
    <li class="here-row" ref={row}>
      <span class={className} data-bot={person.is_bot && "yes"}>
        <span aria-hidden="true">{letters}</span>
        {mark && <Icon name={mark} />}
      </span>
      <div class="here-words">
        <span class="here-name"><b dir="auto">{person.username}</b><span class="hint">{marks}</span></span>
        <span class="hint">{[permissionWords[person.permission], where].filter(Boolean).join(" · ")}</span>
      </div>
      {place && !isMe && (
        <button type="button" class="button small" aria-label={`Go to ${person.username}, ${where}`} onClick={() => goTo(place)}>Go to</button>
      )}
    </li>
  );
}

/** For a guest: their own name, without what the server puts behind it. */
function NameForm({ username, rename }: { username: string; rename(name: string): Promise<void> }): JSX.Element {
  const [name, setName] = useState(username.replace(/ \(guest \w+\)$/, ""));
  const [words, setWords] = useState("");
  const save = async (): Promise<void> => {
    try {
      await rename(name);
      setWords("Everybody here sees the new name.");
    } catch (failure) {
      setWords(reasonOf(failure, "The name was not changed. Try again."));
    }
  };
  return (
    <form
      class="here-rename"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <label for="guest-name">Your name here</label>
      <input class="field" id="guest-name" maxLength={15} autocomplete="off" spellcheck={false} value={name} onInput={({ currentTarget }) => setName(currentTarget.value)} />
      <button class="button small">Change</button>
      <p class="hint" role="status">{words}</p>
    </form>
  );
}
