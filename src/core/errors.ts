export type ErrorCode =
  | "bad-argument"
  | "bad-model"
  | "bad-output"
  | "unsupported-schedule"
  | "file"
  | "aborted"
  | "network-failed";

/** The one error class of this library: `code` says what kind, `message` what was given, what is wrong and what to do. */
export class SpecdiffError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "SpecdiffError";
    this.code = code;
  }
}

export function requireInteger(name: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`;
    throw new SpecdiffError("bad-argument", `${name} is ${value}; it must be a whole number, ${range}`);
  }
}
