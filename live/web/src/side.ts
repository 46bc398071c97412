// The list of regions, and of the streams of the chosen one with their values.

import { colour, el, plain } from './dom';
import { Frame, Part, RegionState, StreamInfo, streamLabel } from './model';
import { formatBytes, formatRate, preview } from './values';

export const SIGNS: Record<string, string> = {
  live: '●', died: '×', closed: '○', ended: '○', 'reference-made': '◇', absent: '…', unknown: '?',
};
export const WORDS: Record<string, string> = {
  live: 'live', died: 'its server died', closed: 'its server has left', ended: 'its name was taken away',
  'reference-made': 'made by the original', absent: 'not there yet', unknown: 'unknown',
};

export interface SideHost {
  chosen(): string | null;
  choose(region: string): void;
  streams(region: string): StreamInfo[];
  frame(region: string): Frame | null;
  part(f: Frame, s: StreamInfo): Part | null;
  isOpen(region: string, stream: string): boolean;
  toggle(region: string, stream: StreamInfo): void;
}

interface Card { root: HTMLElement; rate: HTMLElement; sub: HTMLElement; spark: HTMLCanvasElement; sign: HTMLElement; streams: HTMLElement; key: string }

export class Side {
  private cards = new Map<string, Card>();
  private rates = new Map<string, number[]>();
  readonly empty = el('div', { class: 'nothing' }, el('b', {}, 'No region yet'), el('span', {}, 'They appear here as soon as a server publishes one: '), el('code', {}, 'shmx serve clock'));

  constructor(private readonly root: HTMLElement, private readonly host: SideHost) {
    root.append(this.empty);
  }

  update(all: RegionState[]): void {
    this.empty.hidden = all.length > 0;
    const names = new Set(all.map((r) => r.name));
    for (const [name, card] of this.cards) if (!names.has(name)) { card.root.remove(); this.cards.delete(name); this.rates.delete(name); }
    for (const r of all) {
      let card = this.cards.get(r.name);
      if (!card) { card = this.make(r.name); this.cards.set(r.name, card); }
      const rates = this.rates.get(r.name) ?? [];
      rates.push(r.state === 'live' || r.state === 'reference-made' ? r.facts?.rate ?? 0 : 0);
      if (rates.length > 60) rates.shift();
      this.rates.set(r.name, rates);
      card.root.classList.toggle('chosen', this.host.chosen() === r.name);
      card.root.dataset.state = r.state;
      card.sign.textContent = SIGNS[r.state] ?? '?';
      card.sign.title = WORDS[r.state] ?? r.state;
      const f = r.facts;
      card.rate.textContent = f && r.state !== 'died' && r.state !== 'closed' ? formatRate(f.rate) : r.state;
      const each = f?.frame_bytes != null && f.rate != null ? `${formatBytes(f.frame_bytes * f.rate)}/s` : null;
      card.sub.textContent = f
        ? [each, `${f.readers.length} reader${f.readers.length === 1 ? '' : 's'}`].filter(Boolean).join(' · ')
        : plain(r.problem ?? WORDS[r.state] ?? '');
      this.draw(card.spark, rates);
    }
    // In the order of the server, which is that of the names.
    const order = all.map((r) => this.cards.get(r.name)!.root);
    order.forEach((e, i) => { if (this.root.children[i] !== e) this.root.insertBefore(e, this.root.children[i] ?? null); });
    this.values();
  }

  private make(name: string): Card {
    const [rate, sub, sign] = [el('span', { class: 'rate' }), el('span', { class: 'sub' }), el('span', { class: 'sign' })];
    const spark = el('canvas', { class: 'spark' }), streams = el('ul', { class: 'streams' });
    const root = el('article', { class: 'region-card', 'data-region': name },
      el('button', { type: 'button', class: 'head', click: () => this.host.choose(name) },
        sign, el('span', { class: 'name', title: name }, name), rate, sub, spark),
      streams);
    return { root, rate, sub, spark, sign, streams, key: '' };
  }

  /** Names and values of the chosen region's streams. */
  values(): void {
    for (const [name, card] of this.cards) {
      const chosen = this.host.chosen() === name;
      card.root.classList.toggle('chosen', chosen);
      const streams = chosen ? this.host.streams(name) : [];
      const key = streams.map((s) => `${s.id}${s.key}${s.type}`).join();
      if (card.key !== key) {
        card.key = key;
        card.streams.replaceChildren(...streams.map((s) => el('li', {},
          el('button', { type: 'button', 'data-stream': s.key, click: () => this.host.toggle(name, s) },
            el('i', { class: 'mark' }), el('span', { class: 'name' }, streamLabel(s)),
            el('span', { class: 'type' }, kindText(s)), el('span', { class: 'value' })),
          s.problems.length ? el('span', { class: 'problem', title: s.problems.join('; ') }, '!') : null)));
      }
      const frame = chosen ? this.host.frame(name) : null;
      streams.forEach((s, i) => {
        const line = card.streams.children[i].firstElementChild as HTMLElement;
        const open = this.host.isOpen(name, s.key);
        line.classList.toggle('open', open);
        line.title = open ? 'Close its panel' : 'Show it in a panel';
        const part = frame && this.host.part(frame, s);
        const value = line.lastElementChild as HTMLElement;
        const text = !frame || !part ? '' : s.image ? formatBytes(part.bytes) : preview(frame, part, s, 1) + (s.unit && part.n === 1 ? ` ${s.unit}` : '');
        if (value.textContent !== plain(text)) value.textContent = plain(text);
      });
    }
  }

  private draw(c: HTMLCanvasElement, rates: number[]): void {
    const w = c.clientWidth * devicePixelRatio, h = c.clientHeight * devicePixelRatio;
    if (!w || !h) return;
    [c.width, c.height] = [w, h];
    const g = c.getContext('2d')!;
    const top = Math.max(1e-9, ...rates);
    g.strokeStyle = colour('--accent');
    g.lineWidth = 1.4 * devicePixelRatio;
    g.beginPath();
    rates.forEach((r, i) => {
      const x = w - (rates.length - 1 - i) * (w / 59), y = h - 2 - (r / top) * (h - 5);
      if (i) g.lineTo(x, y); else g.moveTo(x, y);
    });
    g.stroke();
    g.lineTo(w, h); g.lineTo(w - (rates.length - 1) * (w / 59), h);
    g.globalAlpha = 0.15;
    g.fillStyle = colour('--accent');
    g.fill();
  }
}

export function kindText(s: StreamInfo): string {
  if (s.image) return s.image.width ? `${s.image.width}×${s.image.height} ${s.image.encoding}` : s.image.encoding;
  const type = s.type ?? `${s.elem_bytes} bytes`;
  return (s.components > 1 ? `${type}×${s.components}` : type) + (s.role && s.role !== 'time' ? ` ${s.role}` : '');
}
