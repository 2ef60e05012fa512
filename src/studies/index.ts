import type { Option } from "commander";
import { gmmDefinition } from "./gmm.js";
import { imagesDefinition } from "./images.js";
import { langevinDefinition } from "./langevin.js";
import { pushtDefinition } from "./pusht.js";
import type { Study } from "./study.js";

/** How much a study does: "tiny" proves its plumbing, "quick" takes about two minutes on two cores, "full" up to hours. */
export type Size = "tiny" | "quick" | "full";

/** What a study is made from. */
export interface StudyRequest {
  readonly size: Size;
  readonly seed: number;
  /** Folder of the results, for what is too large for a row. */
  readonly out: string;
  /** Values of the study's own options by name. */
  readonly flags: Readonly<Record<string, unknown>>;
}

/** A study that `specdiff study NAME` can run. */
export interface StudyDefinition {
  readonly name: string;
  readonly description: string;
  readonly options?: readonly Option[];
  create(request: StudyRequest): Promise<Study<object, object>> | Study<object, object>;
}

/** Studies by name: one file and one line each. */
export const studies: readonly StudyDefinition[] = [
  gmmDefinition,
  imagesDefinition,
  langevinDefinition,
  pushtDefinition,
];
