// States, times and typed numbers, as words and back.

import { ApiError } from "../../api.ts";
import type { Check, CheckStatus, ExerciseState, VerdictStatus } from "./types.ts";

/** A sign for the eye; the word beside it says the same. */
export const SIGNS: Record<VerdictStatus | CheckStatus, string> = {
  passed: "✓",
  failed: "✗",
  unfinished: "…",
  error: "!",
  stopped: "■",
  "not run": "–",
};

export const VERDICT_WORDS: Record<VerdictStatus, string> = {
  passed: "Passed",
  failed: "Not right yet",
  unfinished: "Not finished yet",
  error: "It raised an error",
  stopped: "Stopped",
};

/** One word for the list of attempts. */
export const ATTEMPT_WORDS: Record<VerdictStatus, string> = {
  passed: "passed",
  failed: "failed",
  unfinished: "unfinished",
  error: "error",
  stopped: "stopped",
};

const ANSWER_WORDS: Record<CheckStatus, string> = {
  passed: "right",
  failed: "not right",
  "not run": "no answer yet",
};

/** A check's word; an answer in a form is right or not, it did not run. */
export function sayCheck(check: Pick<Check, "status" | "field" | "field_kind">): string {
  if (check.field === null) return check.status;
  // Nobody reads a text: it counts as written, not as right.
  return check.field_kind === "text" && check.status === "passed" ? "written" : ANSWER_WORDS[check.status];
}

/** How the exercise stands, for its head. */
export function sayStatus(state: Pick<ExerciseState, "status" | "unaided" | "solution_seen">): string {
  if (state.status === "passed") return state.unaided ? "✓ done unaided" : "✓ done, with the solution seen";
  if (state.solution_seen) return "solution seen";
  return state.status === "tried" ? "tried" : "";
}

/** "14:03" today, "21 Nov, 14:03" on another day. */
export function sayMoment(iso: string | null, now = new Date()): string {
  const moment = iso === null ? NaN : Date.parse(iso);
  if (Number.isNaN(moment)) return "an unknown time";
  const date = new Date(moment);
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === now.toDateString()) return time;
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${time}`;
}

/** What a learner typed as a number; null where it is none. A comma between digits is no decimal point here. */
export function parseNumber(typed: string): number | null {
  const text = typed.trim().replaceAll("−", "-").replace(/(?<=\d)[ _](?=\d{3}\b)/g, "").replace(/(?<=\d),(?=\d{3}\b)/g, "");
  if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text)) return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

export function countWords(text: string): number {
  return text.trim() === "" ? 0 : text.trim().split(/\s+/).length;
}

/** What went wrong, in the server's sentence where it has one. */
export function sayError(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  console.error(error);
  return "The page failed at this; load it again.";
}
