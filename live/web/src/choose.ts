// Panels for those who have not chosen any: images, points and poses, then numbers.

import { Kind, PanelPlace } from './link';
import { Directory, Frame, StreamInfo } from './model';
import { kinds } from './panels/panel';

/** Panels that are opened by themselves, in all and of one region. */
const MOST_AUTOMATIC = 8;
const MOST_OF_REGION = 6;

/** Adds panels of a region; how many elements a stream has, only a frame tells. */
export function choose(d: Directory, f: Frame, places: PanelPlace[]): void {
  const mine = places.filter((p) => p.region === d.region).length;
  // One vector that says nothing of itself is rather a measurement than a place.
  const best = (s: StreamInfo): Kind =>
    kinds(s)[0] === 'points' && !s.role && (f.parts.get(s.id)?.n ?? 0) <= 1 ? 'plot' : kinds(s)[0];
  const rank = (s: StreamInfo): number => {
    const n = f.parts.get(s.id)?.n ?? 0, kind = best(s);
    if (s.view === 'none' || n === 0) return 9;
    if (kind === 'image') return 0;
    if (kind === 'points') return 1;
    if (kind === 'table' || s.role === 'time' || s.type === 'bool') return 9;
    if (n * s.components <= 8) return /^f|^bf/.test(s.type ?? '') ? 3 : 4;
    return 5;
  };
  const order = d.streams.map((s) => ({ s, r: rank(s) })).filter((x) => x.r < 9).sort((a, b) => a.r - b.r);
  for (const { s, r } of order.slice(0, Math.max(0, Math.min(MOST_OF_REGION - mine, MOST_AUTOMATIC - places.length)))) {
    if (places.some((p) => p.region === d.region && p.stream === s.key)) continue;
    places.push({ kind: r === 5 ? 'array' : best(s), region: d.region, stream: s.key, wide: r < 2 });
  }
}
