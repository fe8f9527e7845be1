// The server's JSON interface under /api/. What changes something carries the header that only this page can send.

const HEADERS = { "Content-Type": "application/json", "X-NN2LLM": "1" };

/** What the server refused, in its own sentence; `status` is 0 where it did not answer. */
export class ApiError extends Error {
  constructor(
    sentence: string,
    readonly status = 0,
    readonly body: Record<string, unknown> = {},
  ) {
    super(sentence);
  }
}

export async function get<T>(path: string): Promise<T> {
  return read<T>(await reach(path, { headers: { Accept: "application/json" } }));
}

export async function post<T>(path: string, body: unknown, options: { keepalive?: boolean } = {}): Promise<T> {
  const request = { method: "POST", headers: HEADERS, body: JSON.stringify(body), ...options };
  return read<T>(await reach(path, request));
}

/** Post what may be lost without harm: time spent, sections read. */
export function report(path: string, body: unknown): void {
  post(path, body, { keepalive: true }).catch(() => {});
}

async function reach(path: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { credentials: "same-origin", ...request });
  } catch {
    throw new ApiError("The course does not answer. Is `nn2llm start` still running?");
  }
}

async function read<T>(response: Response): Promise<T> {
  const text = await response.text();
  let body: unknown = null;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    // an error page
  }
  if (response.ok) return body as T;
  const said = (body ?? {}) as Record<string, unknown>;
  const sentence = said["message"] ?? said["error"] ?? said["detail"];
  const words = typeof sentence === "string" ? sentence : `The course answered ${response.status}.`;
  throw new ApiError(words, response.status, said);
}
