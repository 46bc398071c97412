// What is known of regions: their directories, and their newest frames.

import { describe, Directory, Frame, Part, StreamInfo } from './model';

export class Known {
  /** As they are now, by region. */
  readonly directories = new Map<string, Directory>();
  readonly latest = new Map<string, Frame>();
  /** Numbers of the streams, of all sessions that frames are kept of: in another one they may be others'. */
  private sessions = new Map<string, Map<string, number>>();

  /** Notes a directory; whether it is the first one of its session. */
  add(d: Directory, frames: Frame[]): boolean {
    const fresh = !this.sessions.has(d.session);
    this.directories.set(d.region, d);
    if (fresh) this.clean(new Set(frames.map((f) => f.head.session)));
    describe(d.streams);
    this.sessions.set(d.session, new Map(d.streams.map((s) => [s.description, s.id])));
    return fresh;
  }

  /** A stream in a frame, of whatever number it had in the frame's session. */
  part(f: Frame, s: StreamInfo): Part | null {
    const id = this.sessions.get(f.head.session)?.get(s.description);
    return id === undefined ? null : f.parts.get(id) ?? null;
  }

  stream(region: string, key: string): StreamInfo | undefined {
    return this.directories.get(region)?.streams.find((s) => s.key === key);
  }

  /** Forgets the regions that are not listed any more. */
  keep(regions: Set<string>): void {
    for (const of of [this.directories, this.latest]) for (const name of of.keys()) if (!regions.has(name)) of.delete(name);
  }

  private clean(kept: Set<string>): void {
    for (const d of this.directories.values()) kept.add(d.session);
    for (const session of this.sessions.keys()) if (!kept.has(session)) this.sessions.delete(session);
  }
}
