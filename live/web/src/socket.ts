// The connection: it comes back by itself, and a hidden page lets go of everything.

import { Directory, Frame, Hello, RegionState } from './model';

export interface Handlers {
  hello(h: Hello): void;
  regions(all: RegionState[]): void;
  directory(d: Directory): void;
  frame(f: Frame): void;
  sent(id: number, ms: number): void;
  failed(id: number | null, why: string): void;
  /** `null`: connected. */
  trouble(why: string | null): void;
}

/**
 * How much of a stream is wanted. `max`: of the whole, elements, or pixels in a row; 0: all; null: not that.
 * `first`: elements from the beginning.
 */
export interface Want { max: number | null; first: number }
export type Wants = Record<number, Want>;

/** What serves both. */
export function both(a: Want, b: Want): Want {
  const max = a.max === null || b.max === null ? a.max ?? b.max : a.max === 0 || b.max === 0 ? 0 : Math.max(a.max, b.max);
  return { max, first: Math.max(a.first, b.first) };
}

export class Socket {
  private ws: WebSocket | null = null;
  private tries = 0;
  private wants = new Map<string, string>();
  /** Regions that the server knows: of others nothing can be asked for. */
  private listed = new Set<string>();
  private ever = false;
  constructor(private readonly token: string, private readonly on: Handlers) {
    document.addEventListener('visibilitychange', () => this.look());
    this.open();
  }

  get looking(): boolean { return document.visibilityState === 'visible'; }

  private open(): void {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    let ws: WebSocket;
    try {
      ws = new WebSocket(`${scheme}://${location.host}/ws`, ['shmx.live.1', `token.${this.token}`]);
    } catch {
      this.on.trouble('This link has no valid token. Open the link that shmx live has printed.');
      return;
    }
    ws.binaryType = 'arraybuffer';
    ws.onopen = () => {
      this.ws = ws;
      this.ever = true;
      this.tries = 0;
      this.listed.clear();
      this.on.trouble(null);
      this.look();
    };
    ws.onmessage = (e) => this.message(e.data as ArrayBuffer | string);
    ws.onclose = () => {
      this.ws = null;
      this.on.trouble(this.ever
        ? 'The connection is lost. Trying again…'
        : 'No connection. Is shmx live still running? Its token is new each time: open the link that it has printed.');
      setTimeout(() => this.open(), Math.min(5000, 250 * 2 ** this.tries++));
    };
  }

  private look(): void {
    this.send({ op: 'look', on: this.looking });
    if (this.looking) this.ask([...this.listed]);
  }

  private ask(regions: string[]): void {
    for (const name of regions) {
      const text = this.wants.get(name);
      if (text && this.ws?.readyState === WebSocket.OPEN) this.ws.send(text);
    }
  }

  private regions(all: RegionState[]): void {
    this.send({ op: 'ack' });
    const names = all.map((r) => r.name), fresh = names.filter((n) => !this.listed.has(n));
    this.listed = new Set(names);
    if (this.looking) this.ask(fresh);
    this.on.regions(all);
  }

  private message(data: ArrayBuffer | string): void {
    if (typeof data !== 'string') return this.on.frame(Frame.parse(data));
    const m = JSON.parse(data);
    switch (m.op) {
      case 'hello': return this.on.hello(m);
      case 'regions': return this.regions(m.regions);
      case 'directory': return this.on.directory(m);
      case 'sent': return this.on.sent(m.id, m.took_ms);
      case 'failed': return this.on.failed(m.id, m.why);
    }
  }

  send(what: object): boolean {
    if (this.ws?.readyState !== WebSocket.OPEN) return false;
    this.ws.send(JSON.stringify(what));
    return true;
  }

  /** Asks for a region's frames with these streams; null: for none. */
  subscribe(region: string, streams: Wants | null): void {
    const list = streams && Object.entries(streams).map(([id, want]) => ({ id: Number(id), ...want }));
    const text = JSON.stringify({ op: 'subscribe', region, streams: list });
    if (streams === null ? !this.wants.has(region) : this.wants.get(region) === text) return;
    if (streams === null) this.wants.delete(region); else this.wants.set(region, text);
    if (this.looking && (streams === null || this.listed.has(region)) && this.ws?.readyState === WebSocket.OPEN) this.ws.send(text);
  }

  ack(region: string): void { this.send({ op: 'ack', region }); }
}
