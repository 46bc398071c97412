// Token and layout in the link. What stands behind `#` stays in the browser: it is sent to nobody.

export type Kind = 'image' | 'plot' | 'points' | 'array' | 'table';
export interface PanelPlace { kind: Kind; region: string; stream: string; wide: boolean }

export interface Layout {
  token: string;
  /** null: not chosen yet, so by the streams' metadata. */
  panels: PanelPlace[] | null;
  region: string | null;
  theme: 'dark' | 'light' | null;
  /** Seconds that plots show. */
  window: number;
  sidebar: boolean | null;
  details: boolean;
}

const KINDS: Kind[] = ['image', 'plot', 'points', 'array', 'table'];

export function read(hash: string): Layout {
  const q = new URLSearchParams(hash.replace(/^#/, ''));
  const panels = q.get('panels');
  const theme = q.get('theme');
  const place = (text: string): PanelPlace[] => {
    const [kind, region, stream, size] = text.split('/').map(decodeURIComponent);
    return KINDS.includes(kind as Kind) && region && stream !== undefined
      ? [{ kind: kind as Kind, region, stream, wide: size === 'wide' }] : [];
  };
  const safely = (text: string): PanelPlace[] => {
    try { return place(text); } catch { return []; }
  };
  return {
    token: q.get('token') ?? '',
    panels: panels === null ? null : panels.split('|').filter(Boolean).flatMap(safely),
    region: q.get('region'),
    theme: theme === 'dark' || theme === 'light' ? theme : null,
    window: Math.min(600, Math.max(1, Number(q.get('window')) || 20)),
    sidebar: q.has('sidebar') ? q.get('sidebar') !== '0' : null,
    details: q.get('details') !== '0',
  };
}

export function write(l: Layout): string {
  const q = new URLSearchParams();
  if (l.token) q.set('token', l.token);
  if (l.region) q.set('region', l.region);
  if (l.panels) {
    const text = (p: PanelPlace) =>
      [p.kind, p.region, p.stream, ...(p.wide ? ['wide'] : [])].map(encodeURIComponent).join('/');
    q.set('panels', l.panels.map(text).join('|'));
  }
  if (l.theme) q.set('theme', l.theme);
  if (l.window !== 20) q.set('window', String(l.window));
  if (l.sidebar !== null) q.set('sidebar', l.sidebar ? '1' : '0');
  if (!l.details) q.set('details', '0');
  return '#' + q.toString();
}
