// Images, of every format; the wheel zooms, dragging moves, the pointer reads a pixel.

import { el, plain } from '../dom';
import { Frame } from '../model';
import { Picture, picture, pixel, turbo } from '../pixels';
import { Want } from '../socket';
import { formatNumber } from '../values';
import { Panel } from './panel';

export class ImagePanel extends Panel {
  private readonly view = el('canvas', { class: 'pixels' });
  private readonly context = this.view.getContext('2d', { willReadFrequently: true })!;
  private readonly readout = el('div', { class: 'readout', hidden: true });
  private readonly legend = el('div', { class: 'legend-bar', hidden: true }, el('span'), el('i'), el('span'));
  private last: Picture | null = null;
  private zoom = 1;
  private offset = { x: 0, y: 0 };
  /** Counts what was to be shown: the last that came, and the last that is done. */
  private asked = 0;
  private done = 0;

  constructor(...a: ConstructorParameters<typeof Panel>) {
    super(...a);
    this.body.append(this.view, this.legend, this.readout);
    this.body.addEventListener('wheel', (e) => {
      e.preventDefault();
      this.scale(e, Math.exp(-e.deltaY * 0.0015));
    }, { passive: false });
    this.body.addEventListener('dblclick', () => { this.zoom = 1; this.arrange(); });
    let drag: PointerEvent | null = null;
    this.body.addEventListener('pointerdown', (e) => { drag = e; });
    this.body.addEventListener('pointermove', (e) => {
      if (drag && e.buttons && this.zoom > 1) {
        this.offset.x += e.movementX;
        this.offset.y += e.movementY;
        this.arrange();
      }
      this.read(e);
    });
    this.body.addEventListener('pointerup', () => { drag = null; });
    this.body.addEventListener('pointerleave', () => { drag = null; this.readout.hidden = true; });
    const stops = Array.from({ length: 9 }, (_, i) => `rgb(${turbo(i / 8).join(' ')})`);
    (this.legend.children[1] as HTMLElement).style.background = `linear-gradient(90deg, ${stops.join(',')})`;
  }

  private scale(e: WheelEvent, by: number): void {
    const before = this.zoom;
    this.zoom = Math.min(40, Math.max(1, this.zoom * by));
    const box = this.body.getBoundingClientRect();
    const [x, y] = [e.clientX - box.left - box.width / 2, e.clientY - box.top - box.height / 2];
    const f = this.zoom / before;
    this.offset = { x: x - (x - this.offset.x) * f, y: y - (y - this.offset.y) * f };
    this.arrange();
  }

  private arrange(): void {
    if (this.zoom === 1) this.offset = { x: 0, y: 0 };
    this.view.style.transform = `translate(${this.offset.x}px, ${this.offset.y}px) scale(${this.zoom})`;
    this.view.classList.toggle('sharp', this.zoom > 3);
  }

  wants(): Want {
    const i = this.stream.image;
    if (!i || i.compressed) return { max: 0, first: 0 };
    const pixels = this.body.clientWidth * Math.min(devicePixelRatio || 1, 2) * this.zoom;
    // In steps: a window that is dragged larger does not ask for something new each time.
    const wanted = Math.max(160, Math.ceil(pixels / 160) * 160);
    return { max: wanted >= i.width ? 0 : wanted, first: 0 };
  }

  show(frame: Frame | null): void {
    const turn = ++this.asked, info = this.stream.image, part = this.whole(frame);
    if (frame && part && info?.compressed) return void this.decode(frame.bytes(part), info.encoding, turn);
    this.done = turn;
    if (!frame || !part || !info) return;
    if (!part.size) return this.missing();
    const p = picture(info.encoding, part.size[0], part.size[1], frame.bytes(part), this.last);
    if (!p) return this.say(`${info.encoding} cannot be shown`);
    this.last = p;
    this.fit(p.width, p.height);
    this.context.putImageData(new ImageData(p.data, p.width, p.height), 0, 0);
    this.say(null);
    this.legend.hidden = !p.range;
    if (p.range) {
      this.legend.children[0].textContent = formatNumber(p.range.low, null);
      this.legend.children[2].textContent = formatNumber(p.range.high, null) + (this.stream.unit ? ` ${plain(this.stream.unit)}` : '');
    }
    this.note.textContent = `${info.width}×${info.height} ${info.encoding}${part.every && part.every > 1 ? `, 1:${part.every}` : ''}`;
  }

  private fit(width: number, height: number): void {
    if (this.view.width !== width || this.view.height !== height) {
      this.view.width = width;
      this.view.height = height;
    }
  }

  private async decode(bytes: Uint8Array<ArrayBuffer>, encoding: string, turn: number): Promise<void> {
    const bitmap = await createImageBitmap(new Blob([bytes], { type: `image/${encoding}` })).catch(() => null);
    // A later one may have been faster.
    if (turn > this.done) {
      this.done = turn;
      if (!bitmap) return this.say(`this is no ${encoding} file`);
      this.fit(bitmap.width, bitmap.height);
      this.context.clearRect(0, 0, bitmap.width, bitmap.height);
      this.context.drawImage(bitmap, 0, 0);
      this.say(null);
      this.note.textContent = `${bitmap.width}×${bitmap.height} ${encoding}`;
    }
    bitmap?.close();
  }

  private read(e: PointerEvent): void {
    const box = this.view.getBoundingClientRect();
    const scale = Math.min(box.width / this.view.width, box.height / this.view.height);
    const left = box.left + (box.width - this.view.width * scale) / 2, top = box.top + (box.height - this.view.height * scale) / 2;
    const [x, y] = [Math.floor((e.clientX - left) / scale), Math.floor((e.clientY - top) / scale)];
    const inside = x >= 0 && y >= 0 && x < this.view.width && y < this.view.height && !this.empty.textContent;
    this.readout.hidden = !inside;
    if (!inside) return;
    const part = this.shown && this.host.part(this.shown, this.stream), every = part?.every ?? 1;
    const number = part && pixel(this.stream.image!.encoding, this.view.width, this.shown!.bytes(part), x, y);
    const [r, g, b] = this.context.getImageData(x, y, 1, 1).data;
    const whole = number?.every(Number.isInteger) ? 'i32' : null;
    const words = number ? number.map((v) => formatNumber(v, whole)).join(' ') + (this.stream.unit ? ` ${this.stream.unit}` : '') : `${r} ${g} ${b}`;
    this.readout.textContent = plain(`${x * every}, ${y * every}  ·  ${words}`);
  }

  redraw(): void { this.show(this.shown); }
  protected canvas(): HTMLCanvasElement { return this.view; }
}
