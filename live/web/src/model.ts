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
export interface RegionState { name: string; state: string; facts?: Facts }
export interface ImageInfo { width: number; height: number; encoding: string; compressed: boolean }
export interface StreamInfo {
  id: number; name: string; type: string | null; components: number; elem_bytes: number; role: string | null;
  shape: number[] | null; unit: string | null; frame: string | null; clock: string | null; view: string | null;
  image: ImageInfo | null; problems: string[];
}
export interface Directory { region: string; session: string; generation: number; streams: StreamInfo[] }
export interface Hello { version: string; host: string; control: boolean; foxglove: string | null }

export interface Part {
  id: number; n: number; bytes: number; at: number; len: number;
  part?: boolean; every?: number; size?: [number, number]; problem?: string;
}
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
  bytes(part: Part): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer, part.at, part.len);
  }
}

export const streamLabel = (s: StreamInfo): string => s.name || `#${s.id}`;
