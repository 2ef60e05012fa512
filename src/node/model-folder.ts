import { readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { SpecdiffError } from "../core/errors.js";
import { type ModelFolder, readFolder } from "../pipeline/folder.js";

/**
 * Reads a model folder, see {@link readFolder}, or takes a bare ONNX file, which says nothing about its schedule.
 * @throws SpecdiffError("file") naming what is missing or cannot be read
 */
export async function readModelFolder(path: string): Promise<ModelFolder> {
  const root = resolve(path);
  const there = await stat(root).catch(() => undefined);
  if (!there) throw new SpecdiffError("file", `there is no folder or file ${path}`);
  if (there.isFile()) return { folder: root, name: basename(root), target: root };
  const at = (file: string) => join(root, file);
  return readFolder({
    folder: root,
    at,
    async text(file) {
      try {
        return await readFile(at(file), "utf8");
      } catch (cause) {
        const { code, message } = cause as NodeJS.ErrnoException;
        if (code === "ENOENT" || code === "ENOTDIR") return undefined;
        throw new SpecdiffError("file", `cannot read ${at(file)}: ${message}`, { cause });
      }
    },
    has: (file) =>
      stat(at(file)).then(
        () => true,
        () => false,
      ),
  });
}
