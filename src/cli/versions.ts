import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** Versions that a result depends on. */
export function versions(): { specdiff: string; node: string; onnxruntime: string; platform: string } {
  const versionOf = (url: URL | string) => (JSON.parse(readFileSync(url, "utf8")) as { version: string }).version;
  return {
    specdiff: versionOf(new URL("../../package.json", import.meta.url)),
    node: process.versions.node,
    onnxruntime: versionOf(createRequire(import.meta.url).resolve("onnxruntime-node/package.json")),
    platform: `${process.platform}-${process.arch}`,
  };
}
