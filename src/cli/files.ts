import { constants } from "node:fs";
import { access, mkdir, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { SpecdiffError } from "../core/errors.js";

/** Finds out before a long run that its result could not be stored. Makes missing folders. */
export async function assertWritable(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
    const there = await stat(path).catch(() => undefined);
    if (there?.isDirectory()) throw new Error("it is a folder");
    if (there) await access(path, constants.W_OK);
  } catch (cause) {
    throw new SpecdiffError("file", `cannot write ${path}: ${(cause as Error).message}; choose another place`, {
      cause,
    });
  }
}

/** Writes files one by one; what cannot be written where it should goes to the temporary folder. @returns the errors */
export async function writeAll(
  files: readonly (readonly [path: string, content: Uint8Array | string])[],
): Promise<SpecdiffError[]> {
  const errors: SpecdiffError[] = [];
  for (const [path, content] of files) {
    try {
      await writeFile(path, content);
    } catch (cause) {
      const refuge = join(tmpdir(), `specdiff-${process.pid}-${basename(path)}`);
      const saved = await writeFile(refuge, content).then(
        () => `it was saved as ${refuge} instead`,
        (error: Error) => `nor could ${refuge} be written: ${error.message}`,
      );
      errors.push(new SpecdiffError("file", `cannot write ${path}: ${(cause as Error).message}; ${saved}`, { cause }));
    }
  }
  return errors;
}
