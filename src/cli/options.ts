import { fileURLToPath } from "node:url";
import { InvalidArgumentError, Option } from "commander";

/** The model that ships with the package. */
export const SHIPPED_MODEL = fileURLToPath(new URL("../../models/cifar10", import.meta.url));

export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`Give a whole number, at least ${least}.`);
    return value;
  };
}

export function numberFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < least)
      throw new InvalidArgumentError(`Give a number, at least ${least}.`);
    return value;
  };
}

/** Options of every command that opens a model. */
export function modelOptions(): Option[] {
  return [
    new Option("--model <dir>", "model folder: unet/model.onnx, scheduler/scheduler_config.json").default(
      SHIPPED_MODEL,
      "the CIFAR-10 model that ships with specdiff",
    ),
    new Option(
      "--provider <names...>",
      "ONNX Runtime execution providers in order of preference: cpu, webgpu, cuda, coreml, dml",
    ).default(["cpu"]),
    new Option("--threads <n>", "threads of the network (default: one per core)").argParser(wholeNumber(1)),
  ];
}

export interface ModelFlags {
  model: string;
  provider: string[];
  threads?: number;
}
