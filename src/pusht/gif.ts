import { COLOURS } from "./draw.js";
import { type Caption, decisionLines } from "./player.js";
import type { Moment } from "./rollout.js";
import { GOAL, PUSHER_RADIUS, RECTANGLES, WORLD } from "./shape.js";

/** Width of the picture; the scene is square, the text stands below it. */
const WIDTH = 360;
const TEXT_SCALE = 2;
const LINE = 9 * TEXT_SCALE + 2;
const LINES = 5;
const HEIGHT = WIDTH + LINES * LINE + 6;
/** Samples per pixel along each axis. */
const FINE = 3;
const INK = "#1a1a1a";

/** An episode as an animated GIF at the speed of the robot, ten frames a second; the last one stays for two seconds. */
export async function rolloutGif(trace: readonly Moment[], { title, method }: Caption): Promise<Uint8Array> {
  const { encode } = await import("modern-gif");
  const stage = new Picture();
  stage.fill(0, 0, WORLD, WORLD, COLOURS.wall, inBox(3, 3, 508, 508));
  stage.fill(0, 0, WORLD, WORLD, COLOURS.floor, inBox(7, 7, 504, 504));
  stage.fill(0, 0, WORLD, WORLD, COLOURS.goal, inT(...GOAL));
  const lines = decisionLines(trace);
  let planned: Float64Array | undefined;
  const frames = trace.map((moment, i) => {
    planned = moment.planned ?? planned;
    const picture = new Picture(stage);
    const [px, py, x, y, angle] = moment.state as unknown as readonly [number, number, number, number, number];
    picture.fill(x - 140, y - 140, x + 140, y + 140, COLOURS.block, inT(x, y, angle));
    for (let k = 0; planned && k < planned.length; k += 2) picture.disc(planned[k]!, planned[k + 1]!, 4, COLOURS.plan);
    picture.disc(px, py, PUSHER_RADIUS, COLOURS.pusher);
    const texts = [
      title,
      method,
      `step ${i}, ${(100 * moment.coverage).toFixed(1)} % covered`,
      ...lines[i]!.split(/(?<=steps), /),
    ];
    texts.forEach((text, line) => {
      picture.write(text, 4, WIDTH + 4 + line * LINE);
    });
    return { data: picture.pixels, delay: i === trace.length - 1 ? 2000 : 100 };
  });
  return new Uint8Array(await encode({ width: WIDTH, height: HEIGHT, frames, maxColors: 32 }));
}

type Inside = (x: number, y: number) => boolean;

function inBox(left: number, top: number, right: number, bottom: number): Inside {
  return (x, y) => x > left && x < right && y > top && y < bottom;
}

function inT(x0: number, y0: number, angle: number): Inside {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return (x, y) => {
    const u = (x - x0) * cos + (y - y0) * sin;
    const v = (y - y0) * cos - (x - x0) * sin;
    return RECTANGLES.some(([left, top, right, bottom]) => u >= left && u <= right && v >= top && v <= bottom);
  };
}

/** RGBA pixels; shapes are given in the px of the world. */
class Picture {
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;

  constructor(from?: Picture) {
    this.pixels = from ? from.pixels.slice() : new Uint8ClampedArray(4 * WIDTH * HEIGHT).fill(255);
  }

  /** Paints what is inside, by the share of each pixel that is; nothing outside the given box. */
  fill(left: number, top: number, right: number, bottom: number, colour: string, inside: Inside): void {
    const rgb = rgbOf(colour);
    const scale = WIDTH / WORLD;
    const clamp = (value: number) => Math.max(0, Math.min(WIDTH, value));
    for (let row = clamp(Math.floor(top * scale)); row < clamp(Math.ceil(bottom * scale)); row++) {
      for (let column = clamp(Math.floor(left * scale)); column < clamp(Math.ceil(right * scale)); column++) {
        let hits = 0;
        for (let i = 0; i < FINE * FINE; i++) {
          const x = (column + ((i % FINE) + 0.5) / FINE) / scale;
          const y = (row + (Math.floor(i / FINE) + 0.5) / FINE) / scale;
          if (inside(x, y)) hits++;
        }
        if (hits > 0) this.#blend(column, row, rgb, hits / (FINE * FINE));
      }
    }
  }

  disc(x0: number, y0: number, radius: number, colour: string): void {
    const inside: Inside = (x, y) => (x - x0) ** 2 + (y - y0) ** 2 <= radius * radius;
    this.fill(x0 - radius, y0 - radius, x0 + radius, y0 + radius, colour, inside);
  }

  write(text: string, left: number, top: number): void {
    const rgb = rgbOf(INK);
    for (const [place, letter] of [...text.toLowerCase()].entries()) {
      const columns = GLYPHS[letter] ?? GLYPHS["-"]!;
      for (let dot = 0; dot < 40; dot++) {
        const [column, row] = [dot % 5, Math.floor(dot / 5)];
        if (!((Number.parseInt(columns.slice(2 * column, 2 * column + 2), 16) >> row) & 1)) continue;
        for (let i = 0; i < TEXT_SCALE * TEXT_SCALE; i++) {
          const x = left + (place * 6 + column) * TEXT_SCALE + (i % TEXT_SCALE);
          const y = top + row * TEXT_SCALE + Math.floor(i / TEXT_SCALE);
          if (x < WIDTH && y < HEIGHT) this.#blend(x, y, rgb, 1);
        }
      }
    }
  }

  #blend(column: number, row: number, rgb: readonly number[], share: number): void {
    const at = 4 * (row * WIDTH + column);
    for (let c = 0; c < 3; c++) this.pixels[at + c]! += share * (rgb[c]! - this.pixels[at + c]!);
  }
}

function rgbOf(colour: string): readonly number[] {
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}

/** The usual 5 x 7 dots of small displays: five columns in hexadecimal, the lowest bit on top. */
const GLYPHS: Readonly<Record<string, string>> = {
  " ": "0000000000",
  "%": "2313086462",
  "(": "001c224100",
  ")": "0041221c00",
  "+": "08083e0808",
  ",": "0050300000",
  "-": "0808080808",
  ".": "0060600000",
  "/": "2010080402",
  ":": "0036360000",
  "0": "3e5149453e",
  "1": "00427f4000",
  "2": "4261514946",
  "3": "2141454b31",
  "4": "1814127f10",
  "5": "2745454539",
  "6": "3c4a494930",
  "7": "0171090503",
  "8": "3649494936",
  "9": "064949291e",
  a: "2054545478",
  b: "7f48444438",
  c: "3844444420",
  d: "384444487f",
  e: "3854545418",
  f: "087e090102",
  g: "0c5252523e",
  h: "7f08040478",
  i: "00447d4000",
  j: "2040443d00",
  k: "7f10284400",
  l: "00417f4000",
  m: "7c04180478",
  n: "7c08040478",
  o: "3844444438",
  p: "fc24242418",
  q: "081414187c",
  r: "7c08040408",
  s: "4854545420",
  t: "043f444020",
  u: "3c4040207c",
  v: "1c2040201c",
  w: "3c4030403c",
  x: "4428102844",
  y: "0c5050503c",
  z: "4464544c44",
};
