// What comes from the server: docs/live.md, "Protocol".

export interface Slot { kind: string; frame: number; bytes: number; leases: number }
export interface Reader {
  slot: number; pid: number | null; program: string | null; lag: number; missed: number | null;
  rejected: number | null; delivered: number | null; leases: number; dead: boolean; every_frame: boolean;
}
export interface Facts {
  session: string; generation: number; frames: number; rate: number | null; frame_bytes: number | null;
  age_ms: number | null; pid: number | null; program: string | null; total_bytes: number;
  sections: [string, number, number][]; payload_cap: number; slots: Slot[]; reader_slots: number;
  readers: Reader[]; streams: number; checksums: boolean;
}
export interface RegionState { name: string; state: string; problem?: string; facts?: Facts }
export interface ImageInfo { width: number; height: number; encoding: string; compressed: boolean }
export interface StreamInfo {
  id: number; name: string; type: string | null; components: number; elem_bytes: number; role: string | null;
  shape: number[] | null; unit: string | null; frame: string | null; clock: string | null; view: string | null;
  image: ImageInfo | null; problems: string[];
  /** What names it in links: its name, or its number where that is none or another one's too. */
  key: string;
  /** All of this but the number. */
  description: string;
}
export interface Directory { region: string; session: string; generation: number; streams: StreamInfo[] }
export interface Hello { version: string; host: string; control: boolean; foxglove: string | null }

export interface Part {
  id: number; n: number; bytes: number; at: number; len: number;
  part?: boolean; every?: number; size?: [number, number]; problem?: string; first?: [number, number];
}
/** Bytes of a frame. */
export interface Place { at: number; len: number }
interface Head {
  region: string; session: string; frame: number; sim: number | null; time: number; bytes: number; streams: Part[];
  error?: string;
}

/** A frame with its data, as it came. */
export class Frame {
  readonly parts = new Map<number, Part>();
  constructor(readonly head: Head, readonly buffer: ArrayBuffer) {
    for (const p of head.streams) this.parts.set(p.id, p);
  }
  static parse(buffer: ArrayBuffer): Frame {
    const [at, length] = new Uint32Array(buffer, 0, 2);
    const text = new TextDecoder().decode(new Uint8Array(buffer, at, length));
    return new Frame(JSON.parse(text) as Head, buffer);
  }
  bytes(place: Place): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer, place.at, place.len);
  }
}

/** Whether all of a stream is there, at least thinned. */
export const isWhole = (p: Part): boolean => !p.part || p.len >= p.bytes;

/** The elements of a stream from the first one on, as many as are there without a gap. */
export function beginning(p: Part, s: StreamInfo): Place {
  if (p.first) return { at: p.first[0], len: p.first[1] };
  if (p.part || p.len >= p.bytes) return p;
  return { at: p.at, len: s.image || p.problem ? 0 : Math.min(p.len, s.elem_bytes) };
}

/** Adds what the page itself says of streams. */
export function describe(streams: StreamInfo[]): void {
  const label = (s: StreamInfo): string => s.name || `#${s.id}`;
  for (const s of streams) {
    s.key = streams.every((t) => t === s || label(t) !== label(s)) ? label(s) : `#${s.id}`;
    s.description = JSON.stringify({ ...s, id: 0 });
  }
}

export const streamLabel = (s: StreamInfo): string => (s.name && s.name !== s.key ? `${s.name} ${s.key}` : s.key);
