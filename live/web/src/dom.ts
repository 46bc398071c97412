// Small helpers for elements.

/** Text of regions: what cannot be seen, or turns the direction of others, is written out. */
export const plain = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);

type Child = Node | string | null | undefined | false;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Record<string, string | boolean | ((e: Event) => void)> = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') e.addEventListener(key, value);
    else if (value === true) e.setAttribute(key, '');
    else if (value !== false) e.setAttribute(key, key === 'title' || key === 'aria-label' ? plain(value) : value);
  }
  for (const c of children) if (c) e.append(typeof c === 'string' ? plain(c) : c);
  return e;
}

const ICONS: Record<string, string> = {
  menu: 'M3 6h18M3 12h18M3 18h18',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 4l13 8-13 8z',
  back: 'M18 5L9 12l9 7zM6 5v14',
  forward: 'M6 5l9 7-9 7zM18 5v14',
  camera: 'M4 8h3l2-3h6l2 3h3v11H4zM12 10a3.5 3.5 0 1 0 .01 0',
  sun: 'M12 8a4 4 0 1 0 .01 0M12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2',
  moon: 'M20 14A8.5 8.5 0 0 1 10 4a8.5 8.5 0 1 0 10 10z',
  help: 'M12 3a9 9 0 1 0 .01 0M9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M12 17v.01',
  close: 'M6 6l12 12M18 6L6 18',
  wide: 'M4 8V5h16v3M4 16v3h16v-3M8 12H4l2.5-2.5M4 12l2.5 2.5M16 12h4l-2.5-2.5M20 12l-2.5 2.5',
  send: 'M4 12l16-8-6 16-3-6z',
  plus: 'M12 5v14M5 12h14',
  check: 'M5 13l4 4L19 7',
  fit: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
};

export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

export function button(name: string, title: string, click: (e: Event) => void, extra = ''): HTMLButtonElement {
  return el('button', { class: `icon ${extra}`, title, 'aria-label': title, click, type: 'button' }, icon(name));
}

export const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const SERIES = ['--s1', '--s2', '--s3', '--s4', '--s5', '--s6', '--s7', '--s8'];
