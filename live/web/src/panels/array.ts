// Many numbers of one frame: over their index, or as a table.

import uPlot from 'uplot';
import { colour, el, SERIES } from '../dom';
import { beginning, Frame } from '../model';
import { Want } from '../socket';
import { exact, formatNumber, numbers, Numbers } from '../values';
import { Panel } from './panel';
import { tick } from './plot';

const MOST = 8192;
const ROWS = 200;

export class ArrayPanel extends Panel {
  private plot: uPlot | null = null;
  private drawn = '';
  private count = 0;
  private readonly observer = new ResizeObserver(() => {
    const box = this.body.getBoundingClientRect();
    if (box.width > 0) this.plot?.setSize({ width: box.width, height: Math.max(60, box.height) });
  });

  constructor(...a: ConstructorParameters<typeof Panel>) {
    super(...a);
    this.observer.observe(this.body);
  }

  wants(): Want { return { max: MOST, first: 0 }; }

  show(frame: Frame | null): void {
    const part = this.whole(frame);
    if (!frame || !part) return;
    const all = numbers(frame, part, this.stream.type);
    if (!all) return this.say('no numbers');
    const per = Math.max(1, this.stream.components), n = Math.floor(all.length / per), every = part.every ?? 1;
    if (n === 0) return this.say('empty');
    const shown = Math.min(per, 8);
    const x = Float64Array.from({ length: n }, (_, i) => i * every);
    const lines: Numbers[] = [];
    for (let c = 0; c < shown; c++) lines.push(per === 1 ? all : Float64Array.from({ length: n }, (_, i) => all[i * per + c]));
    const theme = `${document.documentElement.dataset.theme}`;
    if (this.plot && (this.drawn !== theme || this.count !== shown)) { this.plot.destroy(); this.plot = null; }
    [this.drawn, this.count] = [theme, shown];
    const data = [x, ...lines] as uPlot.AlignedData;
    if (this.plot) this.plot.setData(data); else this.make(data, shown);
    this.say(null);
    this.note.textContent = `${part.n} × ${this.stream.type}${per > 1 ? `×${per}` : ''}${every > 1 ? `, 1:${every}` : ''}`;
  }

  private make(data: uPlot.AlignedData, shown: number): void {
    const box = this.body.getBoundingClientRect();
    const axis = { stroke: colour('--dim'), font: '11px system-ui, sans-serif', grid: { stroke: colour('--grid'), width: 1 }, ticks: { stroke: colour('--grid'), width: 1, size: 4 } };
    this.plot = new uPlot({
      width: Math.max(80, box.width), height: Math.max(60, box.height), legend: { show: false }, padding: [10, 12, 0, 0],
      cursor: { drag: { x: false, y: false } }, scales: { x: { time: false } },
      axes: [{ ...axis, space: 60, size: 28 }, { ...axis, size: 56, values: (_: uPlot, v: number[]) => v.map((t) => tick(t, v)) }],
      series: [{}, ...Array.from({ length: shown }, (_, i) => ({ stroke: colour(SERIES[i]), width: 1.3, points: { show: false } }))],
    }, data, this.body);
  }

  redraw(): void { this.show(this.shown); }
  dispose(): void { this.observer.disconnect(); this.plot?.destroy(); }
  protected canvas(): HTMLCanvasElement | null { return this.plot?.ctx.canvas ?? null; }
}

export class TablePanel extends Panel {
  private readonly table = el('table');

  constructor(...a: ConstructorParameters<typeof Panel>) {
    super(...a);
    this.body.append(el('div', { class: 'scroll', tabindex: '0' }, this.table));
  }

  wants(): Want {
    return { max: null, first: this.stream.type ? ROWS : Math.ceil((16 * ROWS) / Math.max(1, this.stream.elem_bytes)) };
  }

  show(frame: Frame | null): void {
    const part = this.part(frame);
    if (!frame || !part) return;
    const place = beginning(part, this.stream), all = exact(frame, place, this.stream.type);
    if (part.bytes && !place.len) return this.missing();
    const per = Math.max(1, this.stream.components);
    if (!all) return this.hex(frame.bytes(place), part.bytes);
    const n = Math.min(ROWS, Math.floor(all.length / per));
    const rows = Array.from({ length: n }, (_, i) => {
      const cells = Array.from({ length: Math.min(per, 16) }, (_, c) => `<td>${formatNumber(all[i * per + c], this.stream.type)}</td>`);
      return `<tr><th>${i}</th>${cells.join('')}</tr>`;
    });
    // Nothing but numbers goes into it.
    this.table.innerHTML = rows.join('');
    this.say(n ? null : 'empty');
    this.note.textContent = `${part.n} × ${this.stream.type}${per > 1 ? `×${per}` : ''}${n < part.n ? `, ${n} shown` : ''}`;
  }

  private hex(bytes: Uint8Array, total: number): void {
    const rows: string[] = [];
    for (let i = 0; i < Math.min(bytes.length, 16 * ROWS); i += 16) {
      const row = Array.from(bytes.subarray(i, i + 16), (b) => b.toString(16).padStart(2, '0'));
      rows.push(`<tr><th>${i}</th><td class="hex">${row.join(' ')}</td></tr>`);
    }
    this.table.innerHTML = rows.join('');
    this.say(rows.length ? null : 'empty');
    this.note.textContent = `${total} bytes`;
  }

  redraw(): void { this.show(this.shown); }
  protected canvas(): HTMLCanvasElement {
    const { out, g, height } = this.sheet();
    g.font = '12px monospace';
    Array.from(this.table.rows).slice(0, Math.ceil(height / 16)).forEach((r, i) => g.fillText(Array.from(r.cells, (x) => (x.textContent ?? '').padStart(12)).join(''), 8, 16 + i * 16));
    return out;
  }
}
