/** Growth of a box beyond its shape, as a share of its size, and seconds of its shape's way ahead. */
const MARGIN = 0.1;
const AHEAD = 0.1;

/** An upright box: the leaf of a shape, or what holds two others. */
class Node {
  left = 0;
  top = 0;
  right = 0;
  bottom = 0;
  parent: Node | undefined;
  /** Children of a branch. */
  a: Node | undefined;
  b: Node | undefined;
  readonly shape: number;
  /** When the leaf was last put into the tree. */
  stamp = 0;
  /** Leaves that overlap with this one, the latest first. */
  readonly pairs: Pair[] = [];

  constructor(shape: number) {
    this.shape = shape;
  }
}

interface Pair {
  readonly a: Node;
  readonly b: Node;
}

/** The bounds of a shape now, written as left, top, right, bottom. */
export type Bounds = Float64Array;

/**
 * Which shapes may touch, in the order in which Chipmunk's tree of bounding boxes finds them. That order is the order in which
 * contacts are solved, and where a body is squeezed ten rounds do not make it irrelevant. Boxes are larger than their shapes and
 * are renewed when a shape leaves its own; between renewals the pairs found are kept.
 */
export class Broadphase {
  readonly #moving: Node[] = [];
  #fixedRoot: Node | undefined;
  #root: Node | undefined;
  #now = 0;
  /** Told of every pair that may touch. */
  readonly #report: (a: number, b: number) => void;

  constructor(report: (a: number, b: number) => void) {
    this.#report = report;
  }

  /** A shape that never moves. They come first. */
  addFixed(shape: number, bounds: Bounds): void {
    const leaf = new Node(shape);
    setBox(leaf, bounds, 0, 0, 0, 0);
    this.#fixedRoot = insert(this.#fixedRoot, leaf);
    leaf.stamp = this.#now++;
  }

  /** A shape that moves, with its velocity. */
  addMoving(shape: number, bounds: Bounds, vx: number, vy: number): void {
    const leaf = new Node(shape);
    grow(leaf, bounds, vx, vy);
    this.#root = insert(this.#root, leaf);
    this.#moving.push(leaf);
    leaf.stamp = this.#now;
    this.#mark(leaf, false);
    this.#now++;
  }

  /** Whether a moving shape has left its box. @param index in the order of {@link addMoving} */
  hasLeft(index: number, bounds: Bounds): boolean {
    const { left, top, right, bottom } = this.#moving[index]!;
    return !(left <= bounds[0]! && top <= bounds[1]! && right >= bounds[2]! && bottom >= bounds[3]!);
  }

  /** Gives a moving shape a new box. */
  renew(index: number, bounds: Bounds, vx: number, vy: number): void {
    const leaf = this.#moving[index]!;
    grow(leaf, bounds, vx, vy);
    this.#root = insert(remove(this.#root!, leaf), leaf);
    for (const pair of leaf.pairs) {
      const other = pair.a === leaf ? pair.b : pair.a;
      other.pairs.splice(other.pairs.indexOf(pair), 1);
    }
    leaf.pairs.length = 0;
    leaf.stamp = this.#now;
  }

  /** Reports all pairs; once per step, after the boxes have been renewed. */
  find(): void {
    this.#visit(this.#root!);
    this.#now++;
  }

  #visit(node: Node): void {
    if (node.a) {
      this.#visit(node.a);
      this.#visit(node.b!);
    } else this.#mark(node, true);
  }

  #mark(leaf: Node, report: boolean): void {
    if (leaf.stamp !== this.#now) {
      for (const { a, b } of leaf.pairs) if (b === leaf) this.#report(a.shape, leaf.shape);
      return;
    }
    if (this.#fixedRoot) this.#query(this.#fixedRoot, leaf, false, report);
    for (let node = leaf; node.parent; node = node.parent) {
      const { a, b } = node.parent;
      if (node === a) this.#query(b!, leaf, true, report);
      else this.#query(a!, leaf, false, report);
    }
  }

  /** Pairs of a new leaf below `node`. Those still to be visited in this step (`ahead`) are reported by their own visit. */
  #query(node: Node, leaf: Node, ahead: boolean, report: boolean): void {
    if (!(leaf.left <= node.right && node.left <= leaf.right && leaf.top <= node.bottom && node.top <= leaf.bottom))
      return;
    if (node.a) {
      this.#query(node.a, leaf, ahead, report);
      this.#query(node.b!, leaf, ahead, report);
    } else if (ahead) link(leaf, node);
    else {
      if (node.stamp < leaf.stamp) link(node, leaf);
      if (report) this.#report(leaf.shape, node.shape);
    }
  }
}

function link(a: Node, b: Node): void {
  const pair = { a, b };
  a.pairs.unshift(pair);
  b.pairs.unshift(pair);
}

function setBox(node: Node, [left, top, right, bottom]: Bounds, l: number, t: number, r: number, b: number): void {
  node.left = left! + l;
  node.top = top! + t;
  node.right = right! + r;
  node.bottom = bottom! + b;
}

function grow(leaf: Node, bounds: Bounds, vx: number, vy: number): void {
  const x = MARGIN * (bounds[2]! - bounds[0]!);
  const y = MARGIN * (bounds[3]! - bounds[1]!);
  const [dx, dy] = [AHEAD * vx, AHEAD * vy];
  setBox(leaf, bounds, Math.min(-x, dx), Math.min(-y, dy), Math.max(x, dx), Math.max(y, dy));
}

function area({ left, top, right, bottom }: Node): number {
  return (right - left) * (bottom - top);
}

function mergedArea(a: Node, b: Node): number {
  return (
    (Math.max(a.right, b.right) - Math.min(a.left, b.left)) * (Math.max(a.bottom, b.bottom) - Math.min(a.top, b.top))
  );
}

/** The box of a branch around its children. */
function enclose(node: Node): void {
  const { a, b } = node as { a: Node; b: Node };
  node.left = Math.min(a.left, b.left);
  node.top = Math.min(a.top, b.top);
  node.right = Math.max(a.right, b.right);
  node.bottom = Math.max(a.bottom, b.bottom);
}

function adopt(node: Node, a: Node, b: Node): Node {
  node.a = a;
  node.b = b;
  a.parent = node;
  b.parent = node;
  enclose(node);
  return node;
}

/** Where the boxes grow least. @returns the new root of the subtree */
function insert(subtree: Node | undefined, leaf: Node): Node {
  if (!subtree) {
    leaf.parent = undefined;
    return leaf;
  }
  const { a, b, parent } = subtree;
  if (!a || !b) {
    const branch = adopt(new Node(-1), leaf, subtree);
    branch.parent = parent;
    return branch;
  }
  if (area(a) + mergedArea(b, leaf) < area(b) + mergedArea(a, leaf)) adopt(subtree, a, insert(b, leaf));
  else adopt(subtree, insert(a, leaf), b);
  return subtree;
}

/** Takes a leaf out. @returns the new root */
function remove(root: Node, leaf: Node): Node | undefined {
  const { parent } = leaf;
  if (!parent) return undefined;
  const other = parent.a === leaf ? parent.b! : parent.a!;
  const above = parent.parent;
  other.parent = above;
  if (!above) return other;
  if (above.a === parent) above.a = other;
  else above.b = other;
  for (let node: Node | undefined = above; node; node = node.parent) enclose(node);
  return root;
}
