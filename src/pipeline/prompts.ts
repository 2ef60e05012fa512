import { SpecdiffError } from "../core/errors.js";
import { isExtent, listOf } from "../onnx/form.js";
import type { Condition, Conditions, OnnxNetwork } from "../onnx/network.js";
import type { Session } from "../onnx/session.js";
import type { ModelFolder } from "./folder.js";

/** What a text-to-image model is told in words. */
export interface PromptOptions {
  /** Prompt of each trajectory, repeated as needed. */
  readonly prompts?: readonly string[];
  /** What guidance leads away from. Default: the empty prompt. */
  readonly negativePrompt?: string;
  /** Told of a prompt that is longer than the text encoder takes, and what of it is left out. */
  readonly onWarning?: (message: string) => void;
}

/** The network's input for embedded prompts, as diffusers calls it. */
export const TEXT_INPUT = "encoder_hidden_states";

export function takesText({ extras }: OnnxNetwork): boolean {
  return extras.some(({ name }) => name === TEXT_INPUT);
}

/** @throws SpecdiffError if prompts cannot become a condition of this network, or are given beside what they stand for */
export function assertTakesPrompts(
  { folder, name, text }: ModelFolder,
  network: OnnxNetwork,
  {
    prompts,
    conditions,
    unconditional,
  }: PromptOptions & { readonly conditions?: Conditions; readonly unconditional?: Conditions },
): void {
  const bad = (what: string) => new SpecdiffError("bad-argument", what);
  if (!takesText(network))
    throw bad(`${name} takes no text: its network has no input ${TEXT_INPUT}; leave the prompt out`);
  if (!prompts?.length) throw bad("a negative prompt needs a prompt beside it; give one (--prompt)");
  const twice = [conditions, unconditional].some((values) => values && TEXT_INPUT in values);
  if (twice) throw bad(`prompts are the input ${TEXT_INPUT}; give either prompts or arrays of it`);
  if (!text) {
    throw new SpecdiffError(
      "file",
      `${folder} has no text_encoder/model.onnx, which makes prompts a condition; export it (export_diffusers.py does), or ` +
        `save embeddings in Python and give them with --condition ${TEXT_INPUT}=FILE.npy`,
    );
  }
}

/** The tokens of one prompt. */
export interface Tokens {
  /** As many as the text encoder takes: the prompt's, cut or padded at its end. */
  readonly ids: readonly number[];
  /** The end of the prompt, where it did not fit. */
  readonly rest?: string;
}

export type Tokenizer = (prompt: string) => Tokens;

/**
 * A tokenizer that gives what Python's gives with padding="max_length" and truncation=True.
 * @throws SpecdiffError("file") if the folder has none, or one that does not say how it pads and how long a prompt may be
 */
export async function openTokenizer({ folder, text }: ModelFolder): Promise<Tokenizer> {
  if (!text?.tokenizer) {
    throw new SpecdiffError(
      "file",
      `${folder} has no tokenizer/tokenizer.json, which turns prompts into numbers; write it in Python with ` +
        'CLIPTokenizerFast.from_pretrained("..", subfolder="tokenizer").save_pretrained("tokenizer") and copy the folder here',
    );
  }
  const { definition, config } = text.tokenizer;
  const { Tokenizer } = await import("@huggingface/tokenizers"); // only those who have prompts need it
  const tokenizer = new Tokenizer(definition, config);
  const { pad_token: pad, model_max_length: length } = config;
  const padding = tokenizer.token_to_id(String(typeof pad === "object" && pad && "content" in pad ? pad.content : pad));
  // an unlimited tokenizer writes a length of 1e30
  if (padding === undefined || typeof length !== "number" || !(length >= 2 && length <= 1e5)) {
    throw new SpecdiffError(
      "file",
      `${folder}: tokenizer/tokenizer_config.json has pad_token ${JSON.stringify(pad)} and model_max_length ${length}; ` +
        "it must name a token of the vocabulary and the number of tokens that the text encoder takes, 77 for CLIP",
    );
  }
  return (prompt) => {
    const { ids } = tokenizer.encode(prompt);
    if (ids.length <= length) {
      return { ids: [...ids, ...new Array<number>(length - ids.length).fill(padding)] };
    }
    // the mark of the end stays the last token
    const rest = tokenizer.decode(ids.slice(length - 1, -1)).trim();
    return { ids: [...ids.slice(0, length - 1), ids.at(-1)!], rest };
  };
}

/**
 * Prompts as a condition of the network, trajectory by trajectory in turn.
 * @param session the text encoder: token ids [batch, length] to embeddings [batch, length, width]
 * @throws SpecdiffError("bad-model") for a text encoder of another form
 */
export async function embedPrompts(
  session: Session,
  label: string,
  tokensOf: Tokenizer,
  prompts: readonly string[],
  onWarning?: (message: string) => void,
): Promise<Condition> {
  const tokens = prompts.map(tokensOf);
  tokens.forEach(({ ids, rest }, n) => {
    if (rest !== undefined)
      onWarning?.(`"${prompts[n]}" is longer than ${ids.length} tokens; its end is left out: "${rest}"`);
  });
  const [input] = session.inputs;
  const output = session.outputs.find(({ name }) => name === "last_hidden_state") ?? session.outputs[0];
  const length = tokens[0]!.ids.length;
  const open = input?.shape[1];
  if (
    !input ||
    !output ||
    session.inputs.length > 1 ||
    (input.type !== "int64" && input.type !== "int32") ||
    input.shape.length !== 2 ||
    (isExtent(open) && open !== length)
  ) {
    throw new SpecdiffError(
      "bad-model",
      `${label}: a text encoder takes one input, token ids of shape [batch, ${length}] as int64 or int32; it has inputs ` +
        `${listOf(session.inputs)}. Save embeddings in Python and give them with --condition ${TEXT_INPUT}=FILE.npy`,
    );
  }
  const embeddings: Float32Array[] = [];
  for (const { ids } of tokens) {
    const data = input.type === "int64" ? BigInt64Array.from(ids, BigInt) : Int32Array.from(ids);
    const answer = await session.run({ [input.name]: { type: input.type, data, dims: [1, length] } }, output.name);
    embeddings.push(answer.output);
  }
  return (trajectory) => embeddings[trajectory % embeddings.length]!;
}
