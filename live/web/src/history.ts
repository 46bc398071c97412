// Frames that came, up to a bound of bytes: what pause, step and scrub go through.

import { Frame } from './model';

/** What a frame and a stream of it take beside their bytes, about. */
const FRAME = 700, PART = 200;

const size = (f: Frame): number => f.buffer.byteLength + FRAME + f.parts.size * PART;

export class History {
  readonly frames: Frame[] = [];
  private bytes = 0;
  constructor(private readonly most: number) {}

  /** Adds a frame; how many of the oldest had to go. */
  add(f: Frame): number {
    // Of several regions, the later one may come first.
    let at = this.frames.length;
    while (at > 0 && this.frames[at - 1].head.time > f.head.time) at--;
    this.frames.splice(at, 0, f);
    this.bytes += size(f);
    let gone = 0;
    while (this.bytes > this.most && gone < this.frames.length - 1) {
      this.bytes -= size(this.frames[gone]);
      gone++;
    }
    if (gone) this.frames.splice(0, gone);
    return gone;
  }

  get size(): number { return this.bytes; }
  get length(): number { return this.frames.length; }

  /** The newest frame of a region at or before a place. */
  at(region: string, index: number): Frame | null {
    for (let i = Math.min(index, this.frames.length - 1); i >= 0; i--) {
      if (this.frames[i].head.region === region) return this.frames[i];
    }
    return null;
  }

  /** The next place with a frame of one of these regions, forward or back; the same place if there is none. */
  step(index: number, by: 1 | -1, regions: Set<string>): number {
    for (let i = index + by; i >= 0 && i < this.frames.length; i += by) {
      if (regions.size === 0 || regions.has(this.frames[i].head.region)) return i;
    }
    return index;
  }
}
