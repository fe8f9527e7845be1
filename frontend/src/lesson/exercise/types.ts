// What /api/exercise/SLUG/NAME says (app/api_exercises.py) and what #lesson-data holds of each exercise.

import type { ErrorFrame, TensorRow } from "../protocol.ts";

export type Kind = "implement" | "repair" | "diagnose" | "decide" | "derive";
export type FieldKind = "expression" | "choice" | "multiple" | "number" | "text";

export interface FieldInfo {
  name: string;
  kind: FieldKind;
  unit: string | null;
  min_words: number | null;
}

/** One exercise, in #lesson-data: no answers, hints or solutions. */
export interface ExerciseInfo {
  name: string;
  kind: Kind;
  title: string;
  functions: string[];
  fields: FieldInfo[];
  num_hints: number;
  seconds: number;
}

/** An answer to one field; null where there is none yet. */
export type FieldValue = string | string[] | number | null;
export type Values = Record<string, FieldValue>;

/** The learner's file as it stands on disk. */
export interface Disk {
  text: string;
  version: string;
  /** ISO time of the last change. */
  changed_at: string | null;
  values: Values | null;
  form_error: string | null;
}

export type CheckStatus = "passed" | "failed" | "not run";
export type VerdictStatus = "passed" | "failed" | "unfinished" | "error" | "stopped";

export interface ArrayEvidence {
  label: string;
  shape: number[];
  dtype: string;
  /** At most a few rows and columns, as text; "…" for the rest. */
  values: string[][];
  /** [row, column] of the first difference. */
  marked: number[][];
}

export interface Evidence {
  called?: string | null;
  returned?: string | null;
  expected?: string | null;
  lines?: string[];
  lines_html?: string[];
  arrays?: ArrayEvidence[];
  difference?: string | null;
}

export interface Check {
  name: string;
  title: string;
  status: CheckStatus;
  evidence: Evidence | null;
  diagnosis_html: string | null;
  field: string | null;
  /** Of a form's field: choice, number, text and so on. */
  field_kind: string | null;
  title_html: string;
}

export interface VerdictError {
  name: string;
  message: string;
  frames: ErrorFrame[];
  line: number | null;
  tensors?: TensorRow[];
}

export interface Verdict {
  status: VerdictStatus;
  /** Of the text that it is about. */
  version: string;
  message: string;
  message_html: string;
  seed: number;
  elapsed_s: number;
  checks: Check[];
  error: VerdictError | null;
  printed: string;
  cut: boolean;
  warnings?: string[];
  /** That the code joined the learner's own GPT. */
  part_html: string | null;
  /** Why each chosen option is right or not, by field and option. */
  whys: Record<string, Record<string, string>>;
}

export interface Attempt {
  id: string;
  at: string;
  status: VerdictStatus;
  message: string;
}

export interface ExerciseState extends Disk {
  path: string;
  status: "new" | "tried" | "passed";
  unaided: boolean;
  solution_seen: boolean;
  /** The hints seen so far, as HTML. */
  hints: string[];
  attempts: Attempt[];
  last: Verdict | null;
  /** Whether `last` is about the text as it stands. */
  last_is_current: boolean;
  /** Changes with whatever another tab, editor or terminal did. */
  mark: string;
}
