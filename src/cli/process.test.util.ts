import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("./main.js", import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program in a folder, which has its caches too; `interruptAt` sends Ctrl-C once standard error matches. */
export function runProgram(cwd: string, args: readonly string[], interruptAt?: RegExp): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...args], {
      cwd,
      env: { ...process.env, XDG_CACHE_HOME: join(cwd, "cache") },
    });
    const outcome = { stdout: "", stderr: "" };
    let interrupted = false;
    child.stdout.on("data", (text) => {
      outcome.stdout += text;
    });
    child.stderr.on("data", (text) => {
      outcome.stderr += text;
      if (interrupted || !interruptAt?.test(outcome.stderr)) return;
      interrupted = true;
      child.kill("SIGINT");
    });
    child.on("close", (code) => resolve({ code, ...outcome }));
  });
}
