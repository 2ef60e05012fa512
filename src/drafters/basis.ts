/**
 * An orthonormal change of coordinates in which the posterior covariance of x0 is taken as diagonal, one variance per band
 * of coordinates.
 */
export interface Basis {
  readonly dim: number;
  readonly bands: number;
  /** Band of each coordinate. */
  readonly band: Int32Array;
  /** Coordinates in each band. */
  readonly sizes: Float64Array;
  /** Whether the power of a band says what its prior variance is: true for the spectrum of images. */
  readonly spectral: boolean;
  /** out = transform of x[from .. from + dim - 1] */
  forward(x: Float64Array | Float32Array, from: number, out: Float64Array): void;
  /** out[to .. to + dim - 1] = the state with these coordinates */
  inverse(coordinates: Float64Array, out: Float64Array, to: number): void;
}

/** No transform and one band: vectors without a known structure. */
export function flatBasis(dim: number): Basis {
  return {
    dim,
    bands: 1,
    band: new Int32Array(dim),
    sizes: Float64Array.of(dim),
    spectral: false,
    forward: (x, from, out) => out.set(x.subarray(from, from + dim)),
    inverse: (coordinates, out, to) => out.set(coordinates, to),
  };
}

/**
 * The 2-D DCT-II of each decorrelated channel; bands are rings of a third of an octave. The covariance of natural images,
 * and of what is left of them given a noisy one, is close to diagonal here.
 *
 * @param shape [channels, height, width]; three channels are taken as colours and rotated to grey, red-blue and green
 */
export function imageBasis(shape: readonly [number, number, number]): Basis {
  const [channels, height, width] = shape;
  const plane = height * width;
  const dim = channels * plane;
  const vertical = cosineTransform(height);
  const horizontal = cosineTransform(width);
  const rings = 2 + Math.floor(3 * Math.log2(Math.hypot(height, width)));
  const band = new Int32Array(dim);
  const sizes = new Float64Array(channels * rings);
  for (let c = 0; c < channels; c++) {
    for (let u = 0; u < width; u++) {
      for (let v = 0; v < height; v++) {
        const radius = Math.hypot(u, v);
        const ring = radius === 0 ? 0 : 1 + Math.floor(3 * Math.log2(radius));
        // coordinates are stored transposed: u * height + v
        band[c * plane + u * height + v] = c * rings + ring;
        sizes[c * rings + ring]!++;
      }
    }
  }
  const colours = new Float64Array(dim);
  const half = new Float64Array(plane);
  const turned = new Float64Array(plane);
  return {
    dim,
    bands: channels * rings,
    band,
    sizes,
    spectral: true,
    forward(x, from, out) {
      if (channels === 3) toGrey(x, from, colours, plane);
      else colours.set(x.subarray(from, from + dim));
      for (let c = 0; c < channels; c++) {
        vertical.forward(colours, c * plane, half, 0, width);
        transpose(half, turned, height, width);
        horizontal.forward(turned, 0, out, c * plane, height);
      }
    },
    inverse(coordinates, out, to) {
      for (let c = 0; c < channels; c++) {
        horizontal.inverse(coordinates, c * plane, turned, 0, height);
        transpose(turned, half, width, height);
        vertical.inverse(half, 0, colours, c * plane, width);
      }
      if (channels === 3) fromGrey(colours, out, to, plane);
      else out.set(colours, to);
    },
  };
}

const ROOT2 = Math.SQRT1_2;
const ROOT3 = 1 / Math.sqrt(3);
const ROOT6 = 1 / Math.sqrt(6);

function toGrey(x: Float64Array | Float32Array, from: number, out: Float64Array, plane: number): void {
  for (let i = 0; i < plane; i++) {
    const red = x[from + i]!;
    const green = x[from + plane + i]!;
    const blue = x[from + 2 * plane + i]!;
    out[i] = ROOT3 * (red + green + blue);
    out[plane + i] = ROOT2 * (red - blue);
    out[2 * plane + i] = ROOT6 * (red - 2 * green + blue);
  }
}

function fromGrey(x: Float64Array, out: Float64Array, to: number, plane: number): void {
  for (let i = 0; i < plane; i++) {
    const grey = ROOT3 * x[i]!;
    const across = ROOT2 * x[plane + i]!;
    const third = ROOT6 * x[2 * plane + i]!;
    out[to + i] = grey + across + third;
    out[to + plane + i] = grey - 2 * third;
    out[to + 2 * plane + i] = grey - across + third;
  }
}

function transpose(x: Float64Array, out: Float64Array, rows: number, columns: number): void {
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = x[r * columns + c]!;
}

interface LineTransform {
  /** Orthonormal DCT-II along the first axis of an array of size x lines. */
  forward(x: Float64Array, from: number, out: Float64Array, to: number, lines: number): void;
  inverse(x: Float64Array, from: number, out: Float64Array, to: number, lines: number): void;
}

/**
 * The orthonormal DCT-II of any length, all lines at once. While the length is even it is folded: sums of mirrored entries
 * go to a transform of half the length, which gives the even coordinates, and differences to a dense one for the odd.
 */
function cosineTransform(size: number): LineTransform {
  const matrix = new Float64Array(size * size);
  for (let u = 0; u < size; u++) {
    for (let i = 0; i < size; i++) {
      matrix[u * size + i] = Math.sqrt((u === 0 ? 1 : 2) / size) * Math.cos((Math.PI * u * (2 * i + 1)) / (2 * size));
    }
  }
  if (size % 2 === 1 || size === 2) {
    return {
      forward: (x, from, out, to, lines) => multiply(matrix, size, size, 1, x, from, out, to, lines, 1),
      inverse: (x, from, out, to, lines) => multiply(matrix, size, 1, size, x, from, out, to, lines, 1),
    };
  }
  const middle = size / 2;
  const even = cosineTransform(middle);
  // Rows of odd u on the first half of the entries; the second half has the opposite sign.
  const odd = new Float64Array(middle * middle);
  for (let u = 0; u < middle; u++)
    for (let i = 0; i < middle; i++) odd[u * middle + i] = matrix[(2 * u + 1) * size + i]!;
  let sums = new Float64Array(0);
  let differences = new Float64Array(0);
  let evens = new Float64Array(0);
  const reserve = (lines: number) => {
    if (sums.length >= middle * lines) return;
    sums = new Float64Array(middle * lines);
    differences = new Float64Array(middle * lines);
    evens = new Float64Array(middle * lines);
  };
  return {
    forward(x, from, out, to, lines) {
      reserve(lines);
      for (let i = 0; i < middle; i++) {
        const first = from + i * lines;
        const mirrored = from + (size - 1 - i) * lines;
        for (let l = 0; l < lines; l++) {
          sums[i * lines + l] = Math.SQRT1_2 * (x[first + l]! + x[mirrored + l]!);
          differences[i * lines + l] = x[first + l]! - x[mirrored + l]!;
        }
      }
      even.forward(sums, 0, evens, 0, lines);
      for (let u = 0; u < middle; u++) out.set(evens.subarray(u * lines, (u + 1) * lines), to + 2 * u * lines);
      multiply(odd, middle, middle, 1, differences, 0, out, to + lines, lines, 2);
    },
    inverse(x, from, out, to, lines) {
      reserve(lines);
      for (let u = 0; u < middle; u++) {
        const at = from + 2 * u * lines;
        evens.set(x.subarray(at, at + lines), u * lines);
        sums.set(x.subarray(at + lines, at + 2 * lines), u * lines);
      }
      multiply(odd, middle, 1, middle, sums, 0, differences, 0, lines, 1);
      even.inverse(evens, 0, sums, 0, lines);
      for (let i = 0; i < middle; i++) {
        const first = to + i * lines;
        const mirrored = to + (size - 1 - i) * lines;
        for (let l = 0; l < lines; l++) {
          const sum = Math.SQRT1_2 * sums[i * lines + l]!;
          const difference = differences[i * lines + l]!;
          out[first + l] = sum + difference;
          out[mirrored + l] = sum - difference;
        }
      }
    },
  };
}

/** out[u * every] = sum_i matrix[u * rowStride + i * columnStride] x[i], for lines of numbers. */
function multiply(
  matrix: Float64Array,
  size: number,
  rowStride: number,
  columnStride: number,
  x: Float64Array,
  from: number,
  out: Float64Array,
  to: number,
  lines: number,
  every: number,
): void {
  for (let u = 0; u < size; u++) {
    const row = to + u * every * lines;
    const at = u * rowStride;
    // Four inputs at a time: the output is read and written a quarter as often.
    let i = size % 4;
    out.fill(0, row, row + lines);
    for (let j = 0; j < i; j++) {
      const weight = matrix[at + j * columnStride]!;
      for (let l = 0; l < lines; l++) out[row + l]! += weight * x[from + j * lines + l]!;
    }
    for (; i < size; i += 4) {
      const w0 = matrix[at + i * columnStride]!;
      const w1 = matrix[at + (i + 1) * columnStride]!;
      const w2 = matrix[at + (i + 2) * columnStride]!;
      const w3 = matrix[at + (i + 3) * columnStride]!;
      const c0 = from + i * lines;
      const c1 = c0 + lines;
      const c2 = c1 + lines;
      const c3 = c2 + lines;
      for (let l = 0; l < lines; l++) {
        out[row + l]! += w0 * x[c0 + l]! + w1 * x[c1 + l]! + w2 * x[c2 + l]! + w3 * x[c3 + l]!;
      }
    }
  }
}
