// What the server says of a question and its answer (app/api_learning.py).

export type Answer = number | number[] | string;

export interface Result {
  right: boolean;
  /** Per option. */
  rights: boolean[];
  /** HTML per option. */
  whys: string[];
  /** HTML; of a question without options. */
  why: string;
  /** The right answer in words; of a question without options. */
  expected: string;
  /** Where a wrong answer sends one to read again. */
  see: { url: string; title: string } | null;
  /** Whether the first answer was right: the one that counts. Missing in a review. */
  first_right?: boolean;
  /** How the checkpoint stands, where the question stands in one. */
  sitting?: Record<string, unknown>;
}

export interface SavedResult extends Result {
  answer: Answer;
}
