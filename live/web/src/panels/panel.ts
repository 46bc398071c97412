// What all panels share: the frame around them, and what they are told.

import { button, colour, el, plain } from '../dom';
import { Kind, PanelPlace } from '../link';
import { History } from '../history';
import { Frame, isWhole, Part, StreamInfo, streamLabel } from '../model';
import { Want } from '../socket';

export interface Host {
  history: History;
  /** Seconds that plots show. */
  window(): number;
  /** Whether the newest frames are shown as they come. */
  live(): boolean;
  /** The moment that is shown, in seconds since 1970. */
  now(): number;
  /** A stream in a frame, if it is this very stream there. */
  part(f: Frame, s: StreamInfo): Part | null;
  close(p: Panel): void;
  change(p: Panel, place: Partial<PanelPlace>): void;
  move(p: Panel, by: 1 | -1): void;
  focus(p: Panel): void;
}

export const NAMES: Record<Kind, string> = { image: 'Image', plot: 'Plot', points: '3D', array: 'Array', table: 'Table' };

/** The ways in which a stream can be shown, the best one first. */
export function kinds(s: StreamInfo): Kind[] {
  if (s.image && s.view !== 'values') return s.image.compressed ? ['image'] : ['image', 'table'];
  if (!s.type) return ['table'];
  const float = s.type === 'f32' || s.type === 'f64';
  const spatial = s.role === 'points' ? s.components >= 2 : s.role === null && s.components === 3;
  if (float && s.view !== 'values' && (spatial || (s.role === 'pose' && s.components === 7))) {
    return ['points', 'plot', 'array', 'table'];
  }
  return ['plot', 'array', 'table'];
}

export abstract class Panel {
  readonly root: HTMLElement;
  readonly body: HTMLElement;
  protected readonly note: HTMLElement;
  protected readonly tools: HTMLElement;
  protected empty: HTMLElement;

  constructor(protected readonly host: Host, public place: PanelPlace, public stream: StreamInfo) {
    const modes = el('select', {
      class: 'mode', title: 'How it is shown (m)', 'aria-label': 'How it is shown',
      change: (e) => host.change(this, { kind: (e.target as HTMLSelectElement).value as Kind }),
    });
    for (const k of kinds(stream)) modes.append(el('option', { value: k, selected: k === place.kind }, NAMES[k]));
    this.note = el('span', { class: 'note' });
    this.tools = el('span', { class: 'tools' });
    this.empty = el('div', { class: 'empty' }, 'no frame yet');
    this.body = el('div', { class: `body ${place.kind}` }, this.empty);
    this.root = el('section', {
      class: `panel ${place.wide ? 'wide' : ''}`, tabindex: '-1', 'data-stream': stream.key, 'data-region': place.region,
      'data-kind': place.kind, pointerdown: () => host.focus(this),
    },
    el('header', {},
      el('h2', { title: `${place.region} / ${streamLabel(stream)}` },
        el('span', { class: 'region' }, place.region), el('b', {}, streamLabel(stream))),
      this.note, this.tools, modes.options.length > 1 ? modes : null,
      button('left', 'Move to the left', () => host.move(this, -1), 'move'),
      button('right', 'Move to the right', () => host.move(this, 1), 'move'),
      button('wide', 'Wide (w)', () => host.change(this, { wide: !this.place.wide }), 'widen'),
      button('camera', 'Save as a picture (p)', () => void this.save()),
      button('close', 'Close (x)', () => host.close(this))),
    this.body);
  }

  /** How much of the stream is needed. */
  abstract wants(): Want;
  /** Shows a frame of the region; null: there is none. */
  abstract show(frame: Frame | null): void;
  /** A frame came, whether it is shown or not. */
  arrived(_frame: Frame): void {}
  /** Drawn again: size, theme or time have changed. */
  abstract redraw(): void;
  dispose(): void {}
  protected abstract canvas(): HTMLCanvasElement | null;

  /** A picture of the panel, if it shows something. */
  picture(): HTMLCanvasElement | null { return this.empty.hidden ? this.canvas() : null; }

  /** An empty picture of the panel's size. */
  protected sheet(): { out: HTMLCanvasElement; g: CanvasRenderingContext2D; height: number } {
    const { width, height } = this.body.getBoundingClientRect(), scale = devicePixelRatio || 1;
    const out = el('canvas', { width: String(Math.round(width * scale)), height: String(Math.round(height * scale)) });
    const g = out.getContext('2d')!;
    g.scale(scale, scale);
    g.fillStyle = colour('--panel');
    g.fillRect(0, 0, width, height);
    g.fillStyle = colour('--text');
    return { out, g, height };
  }

  /** Words in place of the data; null: the data. */
  protected say(text: string | null): void {
    this.empty.textContent = plain(text ?? '');
    this.empty.hidden = text === null;
    this.body.classList.toggle('blank', text !== null);
    if (text !== null) this.note.textContent = '';
  }

  /** This stream in a frame that is to be shown; if there is nothing, that is said. */
  protected part(frame: Frame | null): Part | null {
    this.shown = frame;
    const part = frame && this.host.part(frame, this.stream);
    if (!part) this.say(frame ? 'not in this frame' : 'no frame yet');
    return part;
  }

  /** The same, if all of it was received. */
  protected whole(frame: Frame | null): Part | null {
    const part = this.part(frame);
    if (part?.problem) this.say(part.problem);
    else if (part && !isWhole(part)) this.missing();
    else return part;
    return null;
  }

  protected missing(): void { this.say(this.host.live() ? 'no frame yet' : 'not received then'); }

  shown: Frame | null = null;

  async save(): Promise<void> {
    const canvas = this.picture();
    if (!canvas) return;
    const name = `${this.place.region}-${streamLabel(this.stream)}-${this.shown?.head.frame ?? 0}`;
    await download(canvas, name);
  }
}

export async function download(canvas: HTMLCanvasElement, name: string): Promise<void> {
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
  if (!blob) return;
  const url = URL.createObjectURL(blob);
  const a = el('a', { href: url, download: `${name.replace(/[^\w.-]+/g, '_')}.png` });
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
