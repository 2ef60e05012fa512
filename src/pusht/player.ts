import { BLOCK, COLOURS, STAGE } from "./draw.js";
import type { Moment } from "./rollout.js";
import { PUSHER_RADIUS, WORLD } from "./shape.js";

/** What the pictures of an episode say beside the scene. */
export interface Caption {
  /** Such as "pusht, start 100003". */
  readonly title: string;
  /** Such as "posterior, block, window 10". */
  readonly method: string;
}

/** Calls and time of the last decision before each moment, as text. */
export function decisionLines(trace: readonly Moment[]): string[] {
  let line = "";
  return trace.map(({ decision }) => {
    if (decision) {
      const { record, ms, late } = decision;
      line = `${record.calls} calls for ${record.steps} steps, ${ms.toFixed(1)} ms`;
      if (late !== undefined) line += late > 0 ? `, late by ${late.toFixed(1)} ms` : ", in time";
    }
    return line;
  });
}

/** An episode as a page of its own that plays at the speed of the robot: an inline SVG, a slider, a few lines of script. */
export function playerHtml(trace: readonly Moment[], { title, method }: Caption): string {
  const lines = decisionLines(trace);
  let planned: readonly number[] = [];
  const frames = trace.map((moment, i) => {
    if (moment.planned) planned = Array.from(moment.planned, (value) => Number(value.toFixed(1)));
    const state = Array.from(moment.state, (value, axis) => Number(value.toFixed(axis === 4 ? 4 : 1)));
    return { state, planned, coverage: Number(moment.coverage.toFixed(3)), line: lines[i] };
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${html(title)}</title>
<style>
body { font: 16px/1.5 system-ui, Helvetica, Arial, sans-serif; color: #1a1a1a; max-width: 34rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.2rem; margin: 0; } svg { width: 100%; height: auto; display: block; margin: .6rem 0; }
p { margin: .2rem 0; font-variant-numeric: tabular-nums; } input { width: 75%; vertical-align: middle; } button { width: 20%; }
.note { color: #555; font-size: .85rem; }
</style>
</head>
<body>
<h1>${html(title)}</h1>
<p>${html(method)}</p>
<svg viewBox="0 0 ${WORLD} ${WORLD}" role="img" aria-label="A pusher moves a T-shaped block onto its goal">
${STAGE}<g id="block">${BLOCK}</g><g id="plan"></g><circle id="pusher" r="${PUSHER_RADIUS}" fill="${COLOURS.pusher}"/>
</svg>
<p id="where"></p>
<p id="decision"></p>
<p><button id="play" type="button">Pause</button> <input id="at" type="range" min="0" max="${frames.length - 1}" value="0" aria-label="step"></p>
<p class="note">Green: the goal. Blue: the pusher. Orange: the actions of the last decision. Plays at the robot's speed, 10 steps a second.</p>
<script>
const frames = ${JSON.stringify(frames)};
const of = (id) => document.getElementById(id);
let playing = true;
function show(i) {
  const { state: [px, py, x, y, angle], planned, coverage, line } = frames[i];
  of("block").setAttribute("transform", "translate(" + x + " " + y + ") rotate(" + angle * 180 / Math.PI + ")");
  of("pusher").setAttribute("cx", px);
  of("pusher").setAttribute("cy", py);
  let dots = "";
  for (let k = 0; k < planned.length; k += 2) dots += '<circle cx="' + planned[k] + '" cy="' + planned[k + 1] + '" r="4" fill="${COLOURS.plan}"/>';
  of("plan").innerHTML = dots;
  of("where").textContent = "step " + i + ", " + (100 * coverage).toFixed(1) + " % of the goal covered";
  of("decision").textContent = "last decision: " + (line || "none yet");
  of("at").value = i;
}
of("at").oninput = () => { playing = false; of("play").textContent = "Play"; show(Number(of("at").value)); };
of("play").onclick = () => { playing = !playing; of("play").textContent = playing ? "Pause" : "Play"; };
setInterval(() => { if (playing) show((Number(of("at").value) + 1) % frames.length); }, 100);
show(0);
</script>
</body>
</html>
`;
}

function html(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
