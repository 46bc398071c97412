// The chosen region from outside: its state, its memory in proportion, its readers.

import { el, plain } from './dom';
import { Facts, RegionState, Slot } from './model';
import { SIGNS, WORDS } from './side';
import { formatAge, formatBytes, formatCount, formatRate } from './values';

export class Details {
  private readonly title = el('h1');
  private readonly state = el('span', { class: 'state' });
  private readonly facts = el('dl', { class: 'facts' });
  private readonly memory = el('div', { class: 'memory' });
  private readonly legend = el('div', { class: 'memory-legend' });
  private readonly readers = el('div', { class: 'reader-list' });
  private before = '';

  constructor(root: HTMLElement, send: HTMLElement) {
    root.append(
      el('div', { class: 'title' }, this.title, this.state, el('span', { class: 'space' }), send),
      this.facts, this.memory, this.legend, this.readers);
  }

  update(r: RegionState | null): void {
    const text = JSON.stringify(r);
    if (text === this.before) return;
    this.before = text;
    this.title.textContent = plain(r?.name ?? '');
    this.state.textContent = r ? `${SIGNS[r.state] ?? '?'} ${r.problem ? `${r.state}: ${plain(r.problem)}` : WORDS[r.state] ?? r.state}` : '';
    this.state.dataset.state = r?.state ?? '';
    const f = r?.facts;
    this.facts.replaceChildren(...(f ? pairs(f) : []).flatMap(([k, v]) => [el('div', {}, el('dt', {}, k), el('dd', {}, v))]));
    this.memory.hidden = this.legend.hidden = !f;
    if (f) this.bar(f);
    this.table(f ?? null);
  }

  /** The whole region in proportion: header, directory, readers, control rings, and the slots as they are filled. */
  private bar(f: Facts): void {
    const parts: Node[] = [];
    for (const [name, , bytes] of f.sections) {
      const share = Math.max((bytes / f.total_bytes) * 100, 0);
      if (name === 'slots') {
        const shown = f.slots.length <= 128 ? f.slots : [];
        parts.push(el('div', { class: 'slots', style: `flex: ${Math.max(share, 40)} 1 0` }, ...shown.map((s, i) => slot(s, i, f.payload_cap))));
      } else {
        parts.push(el('div', { class: `section ${name}`, style: `flex: ${share} 0 6px`, title: `${name}: ${formatBytes(bytes)}` }));
      }
    }
    this.memory.replaceChildren(...parts);
    const have = new Set(f.slots.map((s) => s.kind));
    const kinds = ['newest', 'frame', 'leased', 'writing', 'bad', 'empty'].filter((k) => have.has(k));
    const sections = f.sections.filter(([n]) => n !== 'slots').map(([n, , b]) => el('span', {}, el('i', { class: `section ${n}` }), `${n} ${formatBytes(b)}`));
    this.legend.replaceChildren(...sections, ...kinds.map((k) => el('span', {}, el('i', { class: `slot ${k}` }), k === 'leased' ? 'being read' : k)));
  }

  private table(f: Facts | null): void {
    this.readers.replaceChildren();
    if (!f) return;
    if (!f.readers.length) {
      this.readers.append(el('span', { class: 'none' }, `no reader attached (${f.reader_slots} slots); this page takes none`));
      return;
    }
    const most = Math.max(1, f.slots.length);
    const rows = f.readers.map((r) => {
      const late = Math.min(1, r.lag / most);
      return el('tr', { class: r.dead ? 'dead' : r.lag >= most ? 'lapped' : '' },
        el('td', {}, `#${r.slot}`),
        el('td', {}, r.program ? `${r.program}` : r.pid ? '' : 'unknown process', el('small', {}, r.pid ? ` ${r.pid}` : '')),
        el('td', {}, el('div', { class: 'lag', title: `${r.lag} frames behind` }, el('i', { style: `width: ${late * 100}%` })), `${formatCount(r.lag)}`),
        el('td', {}, r.delivered === null ? '–' : formatCount(r.delivered)),
        el('td', { class: r.missed ? 'some' : '' }, r.missed === null ? '–' : formatCount(r.missed)),
        el('td', {}, r.dead ? 'dead' : r.every_frame ? 'every frame' : r.leases ? `holds ${r.leases}` : ''));
    });
    this.readers.append(el('table', {},
      el('thead', {}, el('tr', {}, ...['slot', 'reader', 'lag', 'taken', 'missed', ''].map((t) => el('th', {}, t)))),
      el('tbody', {}, ...rows)));
  }
}

function pairs(f: Facts): [string, string][] {
  return [
    ['rate', formatRate(f.rate)],
    ['bandwidth', f.rate != null && f.frame_bytes != null ? `${formatBytes(f.rate * f.frame_bytes)}/s` : '–'],
    ['frame', f.frame_bytes == null ? '–' : formatBytes(f.frame_bytes)],
    ['published', formatCount(f.frames)],
    ['newest is', f.age_ms === null ? '–' : `${formatAge(f.age_ms)} old`],
    ['producer', f.program ? `${f.program} ${f.pid}` : f.pid ? `${f.pid}` : '–'],
    ['memory', formatBytes(f.total_bytes)],
    ['slots', `${f.slots.length} × ${formatBytes(f.payload_cap)}`],
  ];
}

function slot(s: Slot, i: number, cap: number): HTMLElement {
  const words = s.kind === 'empty' ? 'empty' : `${s.kind}, frame ${s.frame}, ${formatBytes(s.bytes)}${s.leases ? `, ${s.leases} reading` : ''}`;
  return el('div', { class: `slot ${s.kind}`, title: `slot ${i}: ${words}` },
    el('i', { style: `height: ${Math.max(s.kind === 'empty' ? 0 : 6, Math.min(100, (s.bytes / Math.max(1, cap)) * 100))}%` }));
}
