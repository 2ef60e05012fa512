import { CommanderError } from "commander";
import { type ErrorCode, SpecdiffError } from "../core/errors.js";

const EXIT_CODES: Readonly<Record<ErrorCode, number>> = {
  "bad-argument": 2,
  "bad-model": 3,
  "unsupported-schedule": 3,
  "bad-output": 4,
  "network-failed": 4,
  file: 5,
  aborted: 130,
};

/** The process's exit code for an error; 1 is a fault of this program. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return 2;
  return error instanceof SpecdiffError ? EXIT_CODES[error.code] : 1;
}

/** What a person is told: the message of an expected error, the whole stack of an unexpected one. */
export function explain(error: unknown): string {
  if (error instanceof SpecdiffError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
