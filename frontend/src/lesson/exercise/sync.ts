// Who has the newest text: this page, or the file on disk? Nothing here touches the page or the network.
//
// The page edits; the server writes with the version that the edit began from (`base`) and refuses where the
// file has another by now. Then both texts are shown and the learner chooses: nothing is overwritten silently.

export interface Seen {
  version: string;
  /** The text, or for a form its values as JSON. */
  text: string;
}

export type News = "nothing" | "taken" | "conflict";

export class TextSync<D extends Seen = Seen> {
  /** What the page shows. */
  text: string;
  /** The version that `text` began from. */
  base: string;
  conflict: D | null = null;
  isSaving = false;
  private saved: string;

  constructor(disk: D) {
    this.text = this.saved = disk.text;
    this.base = disk.version;
  }

  get isDirty(): boolean {
    return this.text !== this.saved;
  }

  /** What to send now; null where there is nothing to send, or it must not be sent. */
  beginSave(): Seen | null {
    if (!this.isDirty || this.isSaving || this.conflict !== null) return null;
    this.isSaving = true;
    return { text: this.text, version: this.base };
  }

  endSave(): void {
    this.isSaving = false;
  }

  /** The server has written `text`, which now has this version. */
  keep(text: string, version: string): void {
    this.saved = text;
    this.base = version;
    this.conflict = null;
  }

  /** The file as the server sees it now. "taken": the page had no change of its own, `text` is the new one. */
  see(disk: D): News {
    if (disk.version === this.base) {
      // Changed there and changed back.
      if (this.conflict !== null) this.conflict = null;
      return "nothing";
    }
    if (disk.text === this.text) {
      this.keep(disk.text, disk.version);
      return "nothing";
    }
    if (!this.isDirty) {
      this.text = disk.text;
      this.keep(disk.text, disk.version);
      return "taken";
    }
    this.conflict = disk;
    return "conflict";
  }

  /** Their text; returns the one that stood here. */
  takeTheirs(): string {
    const mine = this.text;
    if (this.conflict !== null) {
      this.text = this.conflict.text;
      this.keep(this.conflict.text, this.conflict.version);
    }
    return mine;
  }

  /** My text, to be written over theirs. */
  keepMine(): void {
    if (this.conflict === null) return;
    this.saved = this.conflict.text;
    this.base = this.conflict.version;
    this.conflict = null;
  }
}

/** A draft in the browser's storage: text that may not have reached the server. */
export function packDraft(text: string, base: string): string {
  return JSON.stringify({ text, base });
}

export function unpackDraft(stored: string | null): { text: string; base: string } | null {
  if (stored === null) return null;
  try {
    const draft = JSON.parse(stored) as { text?: unknown; base?: unknown } | null;
    if (typeof draft?.text === "string" && typeof draft.base === "string") {
      return { text: draft.text, base: draft.base };
    }
  } catch {
    // not ours
  }
  return null;
}
