// Numbers out of bytes, and numbers as text.

import { beginning, Frame, Part, Place, StreamInfo } from './model';

const SIZES: Record<string, number> = {
  bool: 1, i8: 1, u8: 1, i16: 2, u16: 2, f16: 2, bf16: 2, i32: 4, u32: 4, f32: 4, i64: 8, u64: 8, f64: 8,
};

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function brain(bits: number): number {
  word[0] = bits << 16;
  return float[0];
}

export type Numbers = ArrayLike<number>;

/** The numbers of a stream in a frame, all components of all elements; null if there are none. */
export function numbers(frame: Frame, place: Place, type: string | null): Numbers | null {
  const all = exact(frame, place, type);
  return all instanceof BigUint64Array || all instanceof BigInt64Array ? Float64Array.from(all, Number) : all;
}

/** The same with all digits. */
export function exact(frame: Frame, place: Place, type: string | null): Numbers | BigUint64Array | BigInt64Array | null {
  if (!type || !(type in SIZES)) return null;
  const count = Math.floor(place.len / SIZES[type]);
  const [b, at] = [frame.buffer, place.at];
  switch (type) {
    case 'bool': case 'u8': return new Uint8Array(b, at, count);
    case 'i8': return new Int8Array(b, at, count);
    case 'u16': return new Uint16Array(b, at, count);
    case 'i16': return new Int16Array(b, at, count);
    case 'u32': return new Uint32Array(b, at, count);
    case 'i32': return new Int32Array(b, at, count);
    case 'f32': return new Float32Array(b, at, count);
    case 'f64': return new Float64Array(b, at, count);
    case 'f16': return Float32Array.from(new Uint16Array(b, at, count), half);
    case 'bf16': return Float32Array.from(new Uint16Array(b, at, count), brain);
    case 'u64': return new BigUint64Array(b, at, count);
    case 'i64': return new BigInt64Array(b, at, count);
    default: return null;
  }
}

const WHOLE = /^[iu]/;

export function formatNumber(v: number | bigint, type: string | null, digits = 5): string {
  if (typeof v === 'bigint') return String(v).replace('-', '−');
  if (type === 'bool') return v ? 'true' : 'false';
  if (Number.isNaN(v)) return 'NaN';
  if (!Number.isFinite(v)) return v > 0 ? '∞' : '−∞';
  if (type && WHOLE.test(type)) return String(v).replace('-', '−');
  const size = Math.abs(v);
  const text = size !== 0 && (size >= 1e6 || size < 1e-3) ? v.toExponential(3) : v.toPrecision(digits);
  return (text.includes('e') || !text.includes('.') ? text : text.replace(/0+$/, '').replace(/\.$/, '')).replace('-', '−');
}

/** The beginning of a stream as a line of text. */
export function preview(frame: Frame, part: Part, s: StreamInfo, most = 3): string {
  if (part.n === 0) return 'empty';
  const all = exact(frame, beginning(part, s), s.type);
  if (!all || !all.length) return `${formatBytes(part.bytes)}`;
  const per = Math.max(1, s.components);
  const one = (i: number): string => {
    const c: string[] = [];
    for (let k = 0; k < Math.min(per, 4); k++) c.push(formatNumber(all[i * per + k], s.type));
    return per > 1 ? `(${c.join(', ')}${per > 4 ? ', …' : ''})` : c[0];
  };
  const shown = Math.min(part.n, per > 1 ? 1 : most, Math.floor(all.length / per));
  const list: string[] = [];
  for (let i = 0; i < shown; i++) list.push(one(i));
  return list.join('  ') + (part.n > shown ? ' …' : '');
}

export function formatBytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

export function formatRate(hz: number | null | undefined): string {
  if (hz == null) return '–';
  return `${hz >= 100 ? Math.round(hz) : hz >= 10 ? hz.toFixed(1) : hz.toFixed(2)} Hz`;
}

export function formatAge(ms: number | null): string {
  if (ms == null) return '–';
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms.toFixed(1)} ms`;
  const s = ms / 1000;
  if (s < 100) return `${s.toFixed(1)} s`;
  return s < 6000 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

export const formatCount = (n: number): string => n.toLocaleString('en-US').replace(/,/g, '\u202f');
