// Keeps the learner's text: saved while they type, never over another's, and never lost.
//
// Read sync.ts first, which decides; this talks to the server and shows the choice.

import { ApiError, post } from "../../api.ts";
import { announce, debounce } from "../../dom.ts";
import { Drafts } from "../drafts.ts";
import type { Body } from "./body.ts";
import { renderConflict, renderQuestion } from "./notices.ts";
import { packDraft, type Seen, TextSync, unpackDraft } from "./sync.ts";
import type { Disk } from "./types.ts";
import { sayError, sayMoment } from "./words.ts";

const AUTOSAVE_MS = 700;
const RETRY_MS = 4000;
const KEEPALIVE_LIMIT = 30_000;

/** What is on disk, its text as this exercise synchronises it (for a form: its values). */
interface Copy extends Seen {
  changed_at: string | null;
}

export interface KeeperActions {
  /** Say it in the line beside the buttons. */
  say(words: string): void;
  /** The text has been chosen or saved: ask the server how all stands. */
  refresh(): void;
}

export class TextKeeper {
  /** While a request writes the file itself, nothing else is saved. */
  isHeld = false;
  readonly saveSoon = debounce(() => void this.save(), AUTOSAVE_MS);
  private readonly sync: TextSync<Copy>;
  private readonly drafts: Drafts;
  private readonly draftKey: string;
  private saving: Promise<void> = Promise.resolve();

  constructor(
    private readonly address: string,
    place: { slug: string; name: string },
    disk: Disk,
    private readonly body: Body,
    private readonly notices: HTMLElement,
    private readonly actions: KeeperActions,
  ) {
    this.sync = new TextSync(this.toCopy(disk));
    this.drafts = new Drafts(place.slug);
    this.draftKey = `exercise:${place.name}`;
    this.body.show(this.sync.text);
  }

  private toCopy(disk: Disk): Copy {
    return { version: disk.version, text: this.body.fromDisk(disk), changed_at: disk.changed_at };
  }

  get text(): string {
    return this.sync.text;
  }

  get base(): string {
    return this.sync.base;
  }

  /** The newest version this page knows of. */
  get newest(): string {
    return this.sync.conflict?.version ?? this.sync.base;
  }

  get isDirty(): boolean {
    return this.sync.isDirty;
  }

  get isSaving(): boolean {
    return this.sync.isSaving;
  }

  get hasConflict(): boolean {
    return this.sync.conflict !== null;
  }

  private setText(text: string): void {
    this.sync.text = text;
    this.body.show(text);
  }

  /** The learner typed. */
  edit(text: string): void {
    this.sync.text = text;
    this.drafts.keep(this.draftKey, packDraft(text, this.sync.base));
    if (this.hasConflict) return this.showConflict();
    this.actions.say("");
    this.saveSoon();
  }

  save(): Promise<void> {
    const sending = this.isHeld ? null : this.sync.beginSave();
    if (sending !== null) this.saving = this.send(sending.text, sending.version);
    return this.saving;
  }

  private async send(text: string, base: string): Promise<void> {
    let isKept = false;
    try {
      const body = { ...this.body.toPayload(text), base };
      const options = { keepalive: text.length < KEEPALIVE_LIMIT };
      const { version } = await post<{ version: string }>(`${this.address}/save`, body, options);
      this.sync.keep(text, version);
      isKept = true;
    } catch (error) {
      if (!this.meetConflict(error)) {
        this.actions.say(`Not saved: ${sayError(error)}`);
        setTimeout(this.saveSoon, RETRY_MS);
      }
    }
    this.sync.endSave();
    if (!isKept) return;
    if (this.isDirty) return this.saveSoon();
    this.drafts.drop(this.draftKey);
    this.actions.say("Saved.");
  }

  /** Take in the answer to a request of this page; `sent`: the text that it wrote, and its version. */
  adopt(disk: Disk, sent: Seen | null): void {
    if (sent !== null) this.sync.keep(sent.text, sent.version);
    const copy = this.toCopy(disk);
    if (copy.version !== this.sync.base) {
      if (this.isDirty) this.see(disk);
      else {
        this.setText(copy.text);
        this.sync.keep(copy.text, copy.version);
      }
    }
    if (!this.isDirty) this.drafts.drop(this.draftKey);
    else this.saveSoon();
  }

  /** Text that an earlier page could not send. */
  takeDraft(): void {
    const draft = unpackDraft(this.drafts.read(this.draftKey));
    if (draft === null || draft.text === this.sync.text) return this.drafts.drop(this.draftKey);
    const disk = { version: this.sync.base, text: this.sync.text, changed_at: null };
    try {
      this.setText(draft.text);
    } catch {
      this.setText(disk.text); // a draft of another kind of answer
      return this.drafts.drop(this.draftKey);
    }
    if (draft.base === disk.version) return void this.save();
    this.sync.conflict = disk;
    this.showConflict();
  }

  /** Whether the server refused because the file has changed; the choice is shown then. */
  meetConflict(error: unknown): boolean {
    const disk = error instanceof ApiError && error.status === 409 ? (error.body["disk"] as Disk | undefined) : undefined;
    if (!disk) return false;
    this.see(disk);
    return true;
  }

  /** The file as the server sees it now. */
  see(disk: Disk): void {
    const news = this.sync.see(this.toCopy(disk));
    if (news === "conflict") return this.showConflict();
    this.notices.querySelector(".exercise-conflict")?.remove();
    if (news === "nothing") return;
    this.body.show(this.sync.text);
    this.actions.say(`Taken over from another editor at ${sayMoment(disk.changed_at)}.`);
  }

  /** Put the focus on the choice that must be made first. */
  focusConflict(): void {
    this.notices.querySelector<HTMLElement>(".exercise-conflict button")?.focus();
    this.actions.say("Choose first which text to keep.");
  }

  private showConflict(): void {
    const { conflict } = this.sync;
    if (conflict === null) return;
    const moment = sayMoment(conflict.changed_at);
    const { body } = this;
    const notice = renderConflict(moment, body.toLines(this.sync.text), body.toLines(conflict.text), {
      takeTheirs: () => {
        const mine = this.sync.takeTheirs();
        body.show(this.sync.text);
        this.drafts.drop(this.draftKey);
        notice.remove();
        this.offerBack("Theirs is taken.", mine);
        body.focus();
        this.actions.refresh();
      },
      keepMine: () => {
        this.sync.keepMine();
        notice.remove();
        this.actions.say("Yours is kept.");
        void this.save().then(() => this.actions.refresh());
        body.focus();
      },
    });
    this.actions.say("Not saved: choose which text to keep.");
    const old = this.notices.querySelector(".exercise-conflict");
    if (old) old.replaceWith(notice);
    else {
      this.notices.prepend(notice);
      announce(`Changed in another editor at ${moment}. Choose below which text to keep.`);
    }
  }

  /** A text that has just left the editor can be brought back. */
  offerBack(words: string, text: string): void {
    this.notices.querySelector(".exercise-back")?.remove();
    const notice = renderQuestion(`${words} Your earlier text can be brought back.`, [
      {
        label: "Bring mine back",
        act: () => {
          notice.remove();
          this.setText(text);
          this.edit(text);
          void this.save();
          this.body.focus();
        },
      },
      { label: "Close", act: () => notice.remove() },
    ]);
    notice.classList.add("exercise-back");
    this.notices.append(notice);
    announce(words);
  }
}
