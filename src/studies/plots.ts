import type { TopLevelSpec } from "vega-lite";

/** One point of a plot: plain values by field name. */
export type Datum = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Colours that people of every colour vision tell apart (Okabe and Ito 2008); series differ in shape too. */
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31"];
const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "stroke"];

const CONFIG = {
  background: "white",
  font: "Helvetica, Arial, sans-serif",
  axis: { gridColor: "#e6e6e6", labelFontSize: 12, titleFontSize: 13, titleFontWeight: "normal", titlePadding: 8 },
  legend: { labelFontSize: 12, titleFontSize: 12, symbolSize: 90, labelLimit: 320 },
  header: { labelFontSize: 13, titleFontSize: 13 },
  title: { fontSize: 14, fontWeight: "normal", anchor: "start" },
  view: { stroke: "#bbbbbb" },
} as const;

/** An SVG of a Vega-Lite specification, in the look of all reports. The libraries are loaded at the first plot. */
export async function plot(spec: object): Promise<string> {
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  const full = { ...spec, config: CONFIG } as TopLevelSpec;
  const compiled = compile(full, { logger: vega.logger(vega.Error) });
  const view = new vega.View(vega.parse(compiled.spec), { renderer: "none", logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** A numeric axis: the field it shows, its title with the unit, and how it is scaled. */
export interface Axis {
  readonly field: string;
  readonly title: string;
  readonly log?: boolean;
  /** Whether the axis begins at 0. Default false. */
  readonly zero?: boolean;
  /** Ends of the axis; default: those of the data. */
  readonly domain?: readonly [number, number];
  /** Where the ticks are; default: chosen. */
  readonly ticks?: readonly number[];
}

export interface Chart {
  readonly data: readonly Datum[];
  readonly x: Axis;
  readonly y: Axis;
  /** The field that tells series apart, its title, and their order in the legend. */
  readonly series?: { readonly field: string; readonly title: string; readonly order?: readonly string[] };
  /** Fields with the ends of each point's interval. */
  readonly interval?: readonly [low: string, high: string];
  /** One panel for each value of this field, in this order. */
  readonly panels?: { readonly field: string; readonly title: string; readonly columns?: number };
  /** A curve or line that the data are compared with, drawn dashed; its points have the same x and y fields. */
  readonly reference?: { readonly data: readonly Datum[]; readonly label: string };
  /** Theory for each series: lines without points in the colour of the series, with the same fields as the data. */
  readonly curves?: readonly Datum[];
  /** Whether each panel has a y axis of its own. Default false. */
  readonly ownY?: boolean;
  /** Whether the points of a series are joined, in the order of x. Default true. */
  readonly joined?: boolean;
  readonly width?: number;
  readonly height?: number;
}

/** A chart of series over x with intervals: the one kind that reports are made of. */
export function chart(options: Chart): Promise<string> {
  const {
    data,
    x,
    y,
    series,
    interval,
    panels,
    reference,
    curves,
    ownY = false,
    joined = true,
    width = 420,
    height = 280,
  } = options;
  const order = series?.order ?? (series ? [...new Set(data.map((datum) => String(datum[series.field])))] : undefined);
  const axis = ({ field, title, log, zero = false, domain, ticks }: Axis) => ({
    field,
    type: "quantitative",
    title,
    scale: {
      type: log ? "log" : "linear",
      ...(log ? {} : { zero }),
      ...(domain ? { domain, nice: false } : { padding: zero ? 0 : 8, nice: !log }),
    },
    axis: { ...(ticks && { values: ticks }), ...(log && !ticks && { tickCount: 6 }), format: "~r" },
  });
  // Points on the frame are drawn whole; only what lies beyond axes that were asked for is cut.
  const clip = x.domain !== undefined || y.domain !== undefined;
  const legend = { title: series?.title ?? "", orient: "right", symbolOpacity: 1, labelLimit: 400, titleLimit: 400 };
  const encoding = {
    x: axis(x),
    y: axis(y),
    ...(series && {
      color: { field: series.field, type: "nominal", scale: { domain: order, range: COLOURS }, sort: order, legend },
      shape: { field: series.field, type: "nominal", scale: { domain: order, range: SHAPES }, sort: order, legend },
    }),
  };
  const { shape, ...noShape } = encoding as typeof encoding & { shape?: object };
  const one = series ? {} : { color: { value: COLOURS[0] } };
  const layer = [
    ...(reference
      ? [
          {
            data: { values: reference.data.map((datum) => ({ ...datum, label: reference.label })) },
            mark: { type: "line", strokeDash: [5, 4], color: "#555555", clip: true },
            encoding: {
              x: axis(x),
              y: axis(y),
              strokeDash: {
                field: "label",
                type: "nominal",
                scale: { range: [[5, 4]] },
                legend: { title: null, symbolStrokeColor: "#555555", symbolSize: 500 },
              },
            },
          },
        ]
      : []),
    ...(curves
      ? [{ data: { values: curves }, mark: { type: "line", strokeWidth: 1.4, clip: true }, encoding: noShape }]
      : []),
    ...(joined ? [{ mark: { type: "line", strokeWidth: 1.6, clip: true }, encoding: { ...noShape, ...one } }] : []),
    ...(interval
      ? [
          {
            mark: { type: "rule", strokeWidth: 1.4, clip },
            encoding: { ...noShape, ...one, y: { ...axis(y), field: interval[0] }, y2: { field: interval[1] } },
          },
        ]
      : []),
    { mark: { type: "point", filled: true, size: 55, opacity: 0.9, clip }, encoding: { ...encoding, ...one } },
  ];
  const body = { width, height, layer };
  return plot(
    panels
      ? {
          data: { values: data },
          facet: { field: panels.field, title: panels.title, type: "nominal", sort: null },
          columns: panels.columns ?? 2,
          spec: body,
          ...(ownY && { resolve: { scale: { y: "independent" } } }),
        }
      : { data: { values: data }, ...body },
  );
}
