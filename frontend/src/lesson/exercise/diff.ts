// What two texts have in common, line by line: for the notice that a file changed in two places.

export type Side = "same" | "mine" | "theirs" | "gap";

export interface DiffLine {
  side: Side;
  text: string;
}

const CONTEXT = 2;
/** Beyond this many pairs of lines the middle counts as different throughout. */
const MOST_PAIRS = 1_000_000;

/** Lines of both texts in order: those of mine alone, of theirs alone, and shared ones near them. */
export function diffLines(mine: string, theirs: string): DiffLine[] {
  return fold(compare(mine.replace(/\n$/, "").split("\n"), theirs.replace(/\n$/, "").split("\n")));
}

function compare(mine: string[], theirs: string[]): DiffLine[] {
  let start = 0;
  while (start < mine.length && start < theirs.length && mine[start] === theirs[start]) start++;
  let end = 0;
  const room = Math.min(mine.length, theirs.length) - start;
  while (end < room && mine[mine.length - 1 - end] === theirs[theirs.length - 1 - end]) end++;
  const of = (side: Side) => (text: string) => ({ side, text });
  return [
    ...mine.slice(0, start).map(of("same")),
    ...compareMiddle(mine.slice(start, mine.length - end), theirs.slice(start, theirs.length - end)),
    ...mine.slice(mine.length - end).map(of("same")),
  ];
}

function compareMiddle(mine: string[], theirs: string[]): DiffLine[] {
  const lines: DiffLine[] = [];
  let i = 0;
  let j = 0;
  if (mine.length * theirs.length <= MOST_PAIRS) {
    const length = measureShared(mine, theirs);
    while (i < mine.length && j < theirs.length) {
      if (mine[i] === theirs[j]) {
        lines.push({ side: "same", text: mine[i] ?? "" });
        i++;
        j++;
      } else if ((length[i + 1]?.[j] ?? 0) >= (length[i]?.[j + 1] ?? 0)) lines.push({ side: "mine", text: mine[i++] ?? "" });
      else lines.push({ side: "theirs", text: theirs[j++] ?? "" });
    }
  }
  while (i < mine.length) lines.push({ side: "mine", text: mine[i++] ?? "" });
  while (j < theirs.length) lines.push({ side: "theirs", text: theirs[j++] ?? "" });
  return lines;
}

/** [i][j]: how many lines mine from i on and theirs from j on have in common, in order. */
function measureShared(mine: string[], theirs: string[]): Uint32Array[] {
  const length = Array.from({ length: mine.length + 1 }, () => new Uint32Array(theirs.length + 1));
  for (let i = mine.length - 1; i >= 0; i--) {
    const row = length[i];
    const below = length[i + 1];
    if (!row || !below) continue;
    for (let j = theirs.length - 1; j >= 0; j--) {
      row[j] = mine[i] === theirs[j] ? (below[j + 1] ?? 0) + 1 : Math.max(below[j] ?? 0, row[j + 1] ?? 0);
    }
  }
  return length;
}

/** Shared lines far from any difference become one gap. */
function fold(lines: DiffLine[]): DiffLine[] {
  const near = lines.map((_, at) =>
    lines.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some((line) => line.side !== "same"),
  );
  const folded: DiffLine[] = [];
  lines.forEach((line, at) => {
    if (near[at]) folded.push(line);
    else if (folded.at(-1)?.side !== "gap") folded.push({ side: "gap", text: "" });
  });
  return folded;
}
