// All panels as one picture, as they lie.

import { colour, el, plain } from './dom';
import { streamLabel } from './model';
import { Panel } from './panels/panel';

export function pictureOf(grid: HTMLElement, panels: Panel[], title: string): HTMLCanvasElement {
  const frame = grid.getBoundingClientRect(), scale = Math.min(2, devicePixelRatio || 1);
  const out = el('canvas', { width: String(Math.round(frame.width * scale)), height: String(Math.round((frame.height + 28) * scale)) });
  const g = out.getContext('2d')!;
  g.scale(scale, scale);
  g.fillStyle = colour('--bg');
  g.fillRect(0, 0, frame.width, frame.height + 28);
  g.fillStyle = colour('--dim');
  g.font = '12px system-ui, sans-serif';
  g.fillText(plain(title), 10, 18);
  for (const p of panels) {
    const c = p.picture(), r = p.root.getBoundingClientRect(), b = p.body.getBoundingClientRect();
    const [x, y] = [r.left - frame.left, r.top - frame.top + 28], [left, top] = [b.left - frame.left, b.top - frame.top + 28];
    g.fillStyle = colour('--panel');
    g.beginPath(); g.roundRect(x, y, r.width, r.height, 8); g.fill();
    g.fillStyle = colour('--text');
    g.font = '600 12px system-ui, sans-serif';
    g.fillText(plain(`${p.place.region} / ${streamLabel(p.stream)}`), x + 10, y + 20);
    if (!c || !c.width) continue;
    const fit = Math.min(b.width / c.width, b.height / c.height);
    const [w, h] = p.place.kind === 'image' ? [c.width * fit, c.height * fit] : [b.width, b.height];
    g.drawImage(c, left + (b.width - w) / 2, top + (b.height - h) / 2, w, h);
  }
  return out;
}
