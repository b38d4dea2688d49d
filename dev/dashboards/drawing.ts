import type { Dashboard, Panel, Unit } from './dashboard.ts';
import type { Series } from './prometheus.ts';

/** The answers to the queries of a panel, in their order. */
export type Answers = (panel: Panel) => readonly (readonly Series[])[];

const pageWidth = 1200;
const gap = 8;
const heights = { number: 84, lines: 190, table: 190, states: 96 } as const;
const colors = ['#3b82c4', '#d9822b', '#3d9970', '#b0413e', '#7a5cad', '#8c6d46', '#c05c9c', '#5c6670'];
const tallest = 6;

/** A picture of what the queries of a dashboard returned, laid out as Grafana lays out the panels. It is no screenshot. */
export function drawing({ title, rows }: Dashboard, answers: Answers): string {
  const overTime = rows.flatMap(({ panels }) => panels).filter(({ kind }) => kind === 'lines' || kind === 'states');
  const span = spanOf(overTime.flatMap(answers).flat());
  const parts = [text(gap, 26, title, 'class="h1"')];
  let y = 40;
  for (const row of rows) {
    parts.push(text(gap, y + 18, row.title, 'class="h2"'));
    y += 28;
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      if (x + panel.width > 24) [x, y, height] = [0, y + height + gap, 0];
      const box = {
        x: gap + (x * (pageWidth - gap)) / 24,
        y,
        width: (panel.width * (pageWidth - gap)) / 24 - gap,
        height: heights[panel.kind],
      };
      parts.push(panelDrawing(panel, answers(panel), box, span));
      x += panel.width;
      height = Math.max(height, box.height);
    }
    y += height + gap;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${pageWidth} ${y}" width="${pageWidth}" height="${y}" role="img">
<style>text { font: 11px sans-serif; fill: #333 } .h1 { font-size: 18px; font-weight: bold } .h2 { font-size: 14px; font-weight: bold } .t { font-weight: bold } .n { font-size: 22px } .w { fill: #fff }</style>
<rect width="100%" height="100%" fill="#f4f5f7"/>
${parts.join('\n')}
</svg>
`;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Line {
  readonly name: string;
  readonly values: Series['values'];
}

function panelDrawing(panel: Panel, answers: readonly (readonly Series[])[], box: Box, span: Span): string {
  const { x, y, width, height } = box;
  const lines = panel.queries.flatMap(({ legend }, index) =>
    (answers[index] ?? []).map(({ metric, values }) => ({ name: named(legend, metric), values })),
  );
  const inner = { x: x + 10, y: y + 24, width: width - 20, height: height - 32 };
  const body =
    lines.length === 0 ? text(inner.x, inner.y + 20, 'No data') : bodies[panel.kind](panel, lines, inner, span);
  return `<rect x="${round(x)}" y="${y}" width="${round(width)}" height="${height}" rx="3" fill="#fff" stroke="#d8dbe0"/>
${text(x + 10, y + 16, panel.title, 'class="t"')}
${body}`;
}

type Body = (panel: Panel, lines: readonly Line[], box: Box, span: Span) => string;

const bodies: Readonly<Record<Panel['kind'], Body>> = {
  number(panel, lines, { x, y, width }) {
    const room = width / lines.length;
    return lines
      .map(({ name, values }, index) => {
        const value = Number(values.at(-1)?.[1]);
        const alarm = panel.alarmAbove !== undefined && value > panel.alarmAbove ? ' fill="#b0413e"' : '';
        const label = lines.length > 1 ? text(x + index * room, y + 46, name) : '';
        return text(x + index * room, y + 28, shown(value, panel), `class="n"${alarm}`) + label;
      })
      .join('');
  },
  table(panel, lines, { x, y, width }) {
    const listed = lines.slice(0, 9).map(({ name, values }, index) => {
      const line = y + 14 + index * 16;
      return text(x, line, name) + text(x + width, line, shown(Number(values.at(-1)?.[1]), panel), 'text-anchor="end"');
    });
    return listed.join('');
  },
  lines(panel, lines, { x, y, width, height }, span) {
    const drawn = lines.slice(0, tallest);
    const plot = { x: x + 44, y: y + 4, width: width - 48, height: height - 22 - 13 * Math.ceil(drawn.length / 2) };
    const finite = lines.flatMap(({ values }) => values.map(([, value]) => Number(value))).filter(Number.isFinite);
    const [low, high] = [Math.min(0, ...finite), Math.max(0, ...finite)];
    const scale = { ...span, low, high: high === low ? low + 1 : high };
    const paths = drawn.map(
      ({ values }, index) =>
        `<path d="${path(values, plot, scale)}" fill="none" stroke="${color(index)}" stroke-width="1.5"/>`,
    );
    const legend = drawn.map(({ name }, index) => {
      const left = x + (index % 2) * (width / 2);
      const line = y + height - 13 * (Math.ceil(drawn.length / 2) - 1 - Math.floor(index / 2));
      const room = Math.floor(width / 2 / 6) - 2;
      return `<rect x="${round(left)}" y="${round(line - 8)}" width="8" height="8" fill="${color(index)}"/>${text(left + 12, line, name.slice(0, room))}`;
    });
    return `<path d="M${round(plot.x)} ${plot.y}v${plot.height}h${round(plot.width)}" fill="none" stroke="#bbb"/>
${text(plot.x - 4, plot.y + 8, shown(scale.high, panel), 'text-anchor="end"')}${text(plot.x - 4, plot.y + plot.height, shown(scale.low, panel), 'text-anchor="end"')}
${paths.join('')}${legend.join('')}`;
  },
  states(panel, lines, { x, y, width, height }, { from, to }) {
    const label = 270;
    const shownLines = lines.slice(0, tallest);
    const each = Math.min(26, (height - 4) / shownLines.length);
    const texts = [...new Set(lines.flatMap(({ values }) => values.map(([, value]) => value)))];
    return shownLines
      .map(({ name, values }, index) => {
        const top = y + 4 + index * each;
        const bars = stretches(values).map(({ start, end, value }) => {
          const left = x + label + ((start - from) / (to - from)) * (width - label);
          const right = x + label + ((end - from) / (to - from)) * (width - label);
          const caption = shown(Number(value), panel);
          const fits = right - left > caption.length * 6.5 + 8;
          return `<rect x="${round(left)}" y="${round(top)}" width="${round(right - left)}" height="${round(each - 3)}" fill="${color(texts.indexOf(value))}"/>${fits ? text(left + 4, top + each / 2 + 2, caption, 'class="w"') : ''}`;
        });
        return text(x, top + each / 2 + 2, name.slice(0, 44)) + bars.join('');
      })
      .join('');
  },
};

/** In seconds; the same for all panels. */
interface Span {
  readonly from: number;
  readonly to: number;
}

interface Scale extends Span {
  readonly low: number;
  readonly high: number;
}

function spanOf(series: readonly Series[]): Span {
  const times = series.flatMap(({ values }) => values.map(([time]) => time));
  return { from: Math.min(...times), to: Math.max(...times) };
}

function path(values: Series['values'], { x, y, width, height }: Box, { from, to, low, high }: Scale): string {
  return values
    .filter(([, value]) => Number.isFinite(Number(value)))
    .map(([time, value], index) => {
      const left = x + ((time - from) / (to - from)) * width;
      const top = y + height - ((Number(value) - low) / (high - low)) * height;
      return `${index === 0 ? 'M' : 'L'}${round(left)} ${round(top)}`;
    })
    .join('');
}

/** Times with the same value, and without a gap of more than a few steps. */
function stretches(values: Series['values']): readonly { start: number; end: number; value: string }[] {
  const found: { start: number; end: number; value: string }[] = [];
  for (const [time, value] of values) {
    const last = found.at(-1);
    if (last && last.value === value && time - last.end <= 5) last.end = time;
    else found.push({ start: last && time - last.end <= 5 ? last.end : time, end: time + 1, value });
  }
  return found;
}

function shown(value: number, { unit, meanings }: Panel): string {
  return meanings?.[String(value)] ?? withUnit(value, unit);
}

function withUnit(value: number, unit: Unit | undefined): string {
  if (!Number.isFinite(value)) return '–';
  if (unit === 's') return duration(value);
  if (unit === 'bytes') return `${(value / 2 ** 20).toFixed(0)} MiB`;
  if (unit === 'percentunit') return `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
  if (unit === 'dateTimeAsIso') return new Date(value).toISOString().slice(11, 19);
  const plain = Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 1 ? 2 : 1);
  return unit === 'reqps' ? `${plain}/s` : plain;
}

function duration(seconds: number): string {
  const size = Math.abs(seconds);
  if (size >= 2 * 86_400) return `${(seconds / 86_400).toFixed(0)} d`;
  if (size >= 2 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  if (size >= 120) return `${(seconds / 60).toFixed(0)} min`;
  if (size >= 1 || size === 0) return `${seconds.toFixed(0)} s`;
  return `${(1000 * seconds).toFixed(0)} ms`;
}

function named(legend: string, metric: Readonly<Record<string, string>>): string {
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '').trim();
}

function color(index: number): string {
  return colors[index % colors.length]!;
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${round(x)}" y="${round(y)}"${attributes && ` ${attributes}`}>${escaped}</text>`;
}

function round(value: number): string {
  return String(Math.round(10 * value) / 10);
}
