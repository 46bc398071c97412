// Numbers over time.

import uPlot from 'uplot';
import { colour, el, plain, SERIES } from '../dom';
import { beginning, Frame, streamLabel } from '../model';
import { Want } from '../socket';
import { exact, formatNumber } from '../values';
import { Panel } from './panel';

/** Lines of one plot, and points of a line. */
const MOST_LINES = 8;
const MOST_POINTS = 40000;
const NAMES = ['x', 'y', 'z', 'w'];
/** Between labels: of numbers of any size, but with more digits than a number has uPlot would not end. */
const STEPS = Array.from({ length: 341 }, (_, i) => [1, 2, 2.5, 5].map((m) => Number(`${m}e${i - 32}`))).flat().filter(Number.isFinite);
const steps = (_: uPlot, __: number, low: number, high: number): number[] =>
  STEPS.filter((s) => s > Math.max(Math.abs(low), Math.abs(high)) * 1e-15);
const POSE = ['x', 'y', 'z', 'qx', 'qy', 'qz', 'qw'];

export class PlotPanel extends Panel {
  private plot: uPlot | null = null;
  private times: number[] = [];
  private lines: (number | null)[][] = [];
  /** Of 64-bit numbers the same with all digits. */
  private digits: (bigint | null)[][] = [];
  private session = '';
  private readonly legend = el('div', { class: 'legend' });
  private readonly area = el('div', { class: 'area' });
  private hidden = new Set<number>();
  private cursor: number | null = null;
  private drawn = '';
  private readonly observer = new ResizeObserver(() => this.size());

  constructor(...a: ConstructorParameters<typeof Panel>) {
    super(...a);
    this.body.append(this.legend, this.area);
    this.observer.observe(this.area);
    for (const f of this.host.history.frames) if (f.head.region === this.place.region) this.arrived(f);
  }

  wants(): Want { return { max: null, first: Math.ceil(MOST_LINES / Math.max(1, this.stream.components)) }; }

  private label(i: number): string {
    const c = this.stream.components;
    if (this.lines.length === 1) return streamLabel(this.stream);
    if (this.stream.role === 'pose' && c === 7) return POSE[i % 7];
    if (c > 1 && c <= 4 && this.lines.length <= c) return NAMES[i];
    return c > 1 ? `${Math.floor(i / c)}.${i % c}` : `${i}`;
  }

  arrived(frame: Frame): void {
    const part = this.host.part(frame, this.stream);
    if (!part) return;
    const all = exact(frame, beginning(part, this.stream), this.stream.type);
    if (!all) return;
    const count = Math.min(all.length, MOST_LINES);
    const t = frame.head.time / 1000;
    if (this.lines.length < count) {
      const big = /^[iu]64$/.test(this.stream.type ?? '');
      for (const of of big ? [this.lines, this.digits] : [this.lines]) {
        while (of.length < count) of.push(new Array(this.times.length).fill(null));
      }
      this.plot?.destroy();
      this.plot = null;
    }
    const rows: (number | bigint | null)[][] = [...this.lines, ...this.digits];
    // A new server: a gap.
    if (this.session && this.session !== frame.head.session && this.times.length) {
      this.times.push(this.times[this.times.length - 1] + 1e-6);
      for (const l of rows) l.push(null);
    }
    this.session = frame.head.session;
    if (this.times.length && t <= this.times[this.times.length - 1]) return;
    this.times.push(t);
    this.lines.forEach((l, i) => l.push(i < count && Number.isFinite(Number(all[i])) ? Number(all[i]) : null));
    this.digits.forEach((l, i) => l.push(i < count ? all[i] as bigint : null));
    if (this.times.length > MOST_POINTS) {
      const drop = MOST_POINTS / 4;
      this.times.splice(0, drop);
      for (const l of rows) l.splice(0, drop);
    }
  }

  private make(): void {
    const axis = (extra: object) => ({
      stroke: colour('--dim'), font: '11px system-ui, sans-serif', grid: { stroke: colour('--grid'), width: 1 },
      ticks: { stroke: colour('--grid'), width: 1, size: 4 }, ...extra,
    });
    const series = this.lines.map((_, i) => ({
      label: this.label(i), stroke: colour(SERIES[i % SERIES.length]), width: 1.5, show: !this.hidden.has(i),
      points: { show: false }, spanGaps: false,
    }));
    this.names();
    const box = this.area.getBoundingClientRect();
    this.plot = new uPlot({
      width: Math.max(80, box.width), height: Math.max(60, box.height),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      padding: [10, 12, 0, 0],
      scales: { x: { time: true, range: () => this.range() } },
      axes: [axis({ space: 76, size: 28, values: (_: uPlot, v: number[]) => v.map(moment) }), axis({ incrs: steps, size: (_: uPlot, v: string[] | null) => Math.max(44, 16 + 7 * Math.max(0, ...(v ?? []).map((t) => t.length))), values: (_: uPlot, v: number[]) => v.map((n) => tick(n, v)) })],
      series: [{}, ...series],
      hooks: {
        draw: [(u: uPlot) => this.mark(u)],
        setCursor: [(u: uPlot) => this.values(u.cursor.idx ?? null)],
      },
    }, [this.times, ...this.lines] as uPlot.AlignedData, this.area);
    this.say(null);
  }

  private range(): [number, number] {
    const width = this.host.window();
    const now = this.host.now(), last = this.times[this.times.length - 1] ?? now;
    const end = this.host.live() ? last : Math.max(Math.min(last, now + width / 2), now);
    return [end - width, end];
  }

  /** Where the moment that is shown lies. */
  private mark(u: uPlot): void {
    if (this.host.live()) return;
    const x = u.valToPos(this.host.now(), 'x', true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
    const c = u.ctx;
    c.save();
    c.strokeStyle = colour('--accent');
    c.lineWidth = 1.5 * devicePixelRatio;
    c.beginPath();
    c.moveTo(x, u.bbox.top);
    c.lineTo(x, u.bbox.top + u.bbox.height);
    c.stroke();
    c.restore();
  }

  private names(): void {
    this.legend.replaceChildren(...this.lines.map((_, i) => {
      const entry = el('button', {
        type: 'button', class: this.hidden.has(i) ? 'off' : '', title: 'Show or hide this line',
        click: () => {
          if (!this.hidden.delete(i)) this.hidden.add(i);
          this.plot?.setSeries(i + 1, { show: !this.hidden.has(i) });
          entry.classList.toggle('off', this.hidden.has(i));
        },
      }, el('i', { style: `background: var(${SERIES[i % SERIES.length]})` }), el('span', {}, this.label(i)), el('b', { class: 'value' }));
      return entry;
    }));
    this.values(null);
  }

  /** Values in the legend: under the pointer, or at the moment that is shown. */
  private values(index: number | null): void {
    this.cursor = index;
    const at = index ?? this.index();
    this.lines.forEach((l, i) => {
      const v = at === null ? null : this.digits[i]?.[at] ?? l[at];
      const out = this.legend.children[i]?.querySelector('.value');
      const text = v == null ? '–' : plain(`${formatNumber(v, this.stream.type, 4)}${this.stream.unit ? ` ${this.stream.unit}` : ''}`);
      if (out && out.textContent !== text) out.textContent = text;
    });
  }

  private index(): number | null {
    if (!this.times.length) return null;
    if (this.host.live()) return this.times.length - 1;
    const now = this.host.now() + 1e-6;
    let [low, high] = [0, this.times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= now) low = middle + 1; else high = middle;
    }
    return low ? low - 1 : null;
  }

  show(frame: Frame | null): void {
    this.shown = frame;
    const part = frame && this.host.part(frame, this.stream);
    if (!this.times.length) return this.say(frame && !part ? 'not in this frame' : 'no frame yet');
    this.say(null);
    if (part) {
      const total = part.n * this.stream.components;
      this.note.textContent = `${this.stream.type}${this.stream.components > 1 ? `×${this.stream.components}` : ''}${total > this.lines.length ? `, first ${this.lines.length} of ${total}` : ''}`;
    }
    this.redraw();
  }

  redraw(): void {
    if (!this.times.length) return;
    const theme = document.documentElement.dataset.theme ?? '';
    if (this.plot && this.drawn !== theme) { this.plot.destroy(); this.plot = null; }
    this.drawn = theme;
    if (!this.plot) this.make();
    this.plot!.setData([this.times, ...this.lines] as uPlot.AlignedData);
    if (this.cursor === null) this.values(null);
  }

  private size(): void {
    const box = this.area.getBoundingClientRect();
    if (this.plot && box.width > 0) this.plot.setSize({ width: box.width, height: Math.max(60, box.height) });
  }

  dispose(): void {
    this.observer.disconnect();
    this.plot?.destroy();
  }

  /** The plot and its legend, as they lie. */
  protected canvas(): HTMLCanvasElement | null {
    const plot = this.plot?.ctx.canvas;
    if (!plot) return null;
    const { out, g } = this.sheet(), from = this.body.getBoundingClientRect();
    const put = (e: Element, how: (x: number, y: number, w: number, h: number) => void): void => {
      const r = e.getBoundingClientRect();
      how(r.left - from.left, r.top - from.top, r.width, r.height);
    };
    put(plot, (x, y, w, h) => g.drawImage(plot, x, y, w, h));
    g.font = '12px system-ui, sans-serif';
    g.textBaseline = 'middle';
    for (const [line, ...words] of Array.from(this.legend.querySelectorAll('button:not(.off)'), (b) => Array.from(b.children))) {
      g.fillStyle = getComputedStyle(line).backgroundColor;
      put(line, (x, y, w, h) => g.fillRect(x, y, w, h));
      g.fillStyle = colour('--text');
      for (const e of words) put(e, (x, y, _, h) => g.fillText(e.textContent ?? '', x, y + h / 2));
    }
    return out;
  }
}

const moment = (t: number): string => new Date(t * 1000).toLocaleTimeString('en-GB');

/** Labels of an axis: as many digits as tell neighbours apart. */
export function tick(v: number, all: number[]): string {
  const step = all.length > 1 ? Math.abs(all[1] - all[0]) : Math.abs(v) || 1;
  const size = Math.max(...all.map(Math.abs));
  if (size >= 1e6 || (size > 0 && size < 1e-4)) return v === 0 ? '0' : v.toExponential(Math.max(0, Math.min(6, Math.round(Math.log10(size / step))))).replace('-', '−');
  // The first number of digits with which the step is a whole number of units, and not none.
  const whole = (d: number): boolean => {
    const units = step * 10 ** d;
    return Math.round(units) > 0 && Math.abs(units - Math.round(units)) < 1e-4;
  };
  let digits = 0;
  while (digits < 10 && !whole(digits)) digits++;
  return v.toFixed(digits).replace('-', '−');
}
