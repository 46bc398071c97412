// Pixels of every format as RGBA.

export interface Range { low: number; high: number }
export interface Picture { width: number; height: number; data: Uint8ClampedArray<ArrayBuffer>; range: Range | null }

/** Turbo, as a polynomial (A. Mikhailov's colours, in the approximation of R. Szeliski and others). */
const TURBO = (() => {
  const table = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const x = i / 255, x2 = x * x, x3 = x2 * x, x4 = x3 * x, x5 = x4 * x;
    const r = 0.13572138 + 4.6153926 * x - 42.66032258 * x2 + 132.13108234 * x3 - 152.94239396 * x4 + 59.28637943 * x5;
    const g = 0.09140261 + 2.19418839 * x + 4.84296658 * x2 - 14.18503333 * x3 + 4.27729857 * x4 + 2.82956604 * x5;
    const b = 0.1066733 + 12.64194608 * x - 60.58204836 * x2 + 110.36276771 * x3 - 89.90310912 * x4 + 27.34824973 * x5;
    [r, g, b].forEach((v, k) => { table[i * 3 + k] = Math.max(0, Math.min(255, Math.round(v * 255))); });
  }
  return table;
})();

export function turbo(t: number): [number, number, number] {
  const i = Math.max(0, Math.min(255, Math.round(t * 255))) * 3;
  return [TURBO[i], TURBO[i + 1], TURBO[i + 2]];
}

const ORDER: Record<string, number[]> = {
  rgb8: [0, 1, 2], bgr8: [2, 1, 0], rgba8: [0, 1, 2, 3], bgra8: [2, 1, 0, 3],
  rgb16: [0, 1, 2], bgr16: [2, 1, 0], rgba16: [0, 1, 2, 3], bgra16: [2, 1, 0, 3],
  '8UC3': [2, 1, 0], '8UC4': [2, 1, 0, 3],
};

/** Red is at these places of each square of four. */
const BAYER: Record<string, [number, number]> = { rggb: [0, 0], bggr: [1, 1], gbrg: [0, 1], grbg: [1, 0] };

type View = Uint8Array | Int8Array | Uint16Array | Int16Array | Int32Array | Float32Array | Float64Array;

function view(encoding: string, bytes: Uint8Array<ArrayBuffer>): View {
  const { buffer, byteOffset: at, byteLength: n } = bytes;
  if (/16$|^16UC/.test(encoding)) return new Uint16Array(buffer, at, n >> 1);
  if (encoding.startsWith('16SC')) return new Int16Array(buffer, at, n >> 1);
  if (encoding.startsWith('8SC')) return new Int8Array(buffer, at, n);
  if (encoding.startsWith('32SC')) return new Int32Array(buffer, at, n >> 2);
  if (encoding.startsWith('32FC')) return new Float32Array(buffer, at, n >> 2);
  if (encoding.startsWith('64FC')) return new Float64Array(buffer, at, n >> 3);
  return bytes;
}

/** Makes RGBA of an image's bytes; null for a format that cannot be shown. `reuse` is the picture before. */
export function picture(
  encoding: string, width: number, height: number, bytes: Uint8Array<ArrayBuffer>, reuse: Picture | null,
): Picture | null {
  const size = width * height * 4;
  const data = reuse && reuse.data.length === size ? reuse.data : new Uint8ClampedArray(size);
  const out: Picture = { width, height, data, range: null };
  const order = ORDER[encoding];
  if (order) {
    packed(view(encoding, bytes) as Uint8Array | Uint16Array, order, encoding.endsWith('16') ? 8 : 0, data);
  } else if (encoding === 'mono8' || encoding === '8UC1') {
    grey(bytes, 0, data);
  } else if (encoding === 'mono16') {
    grey(view(encoding, bytes) as Uint16Array, 8, data);
  } else if (encoding.startsWith('bayer_')) {
    bayer(view(encoding, bytes) as Uint8Array | Uint16Array, BAYER[encoding.slice(6, 10)], encoding.endsWith('16') ? 8 : 0, width, height, data);
  } else if (encoding === 'yuyv' || encoding === 'uyvy') {
    pairs(bytes, encoding === 'yuyv' ? 0 : 1, data);
  } else if (encoding === 'nv12' || encoding === 'nv21' || encoding === 'nv24') {
    planes(bytes, encoding, width, height, data);
  } else if (/^(8|16|32|64)[USF]C[1-4]$/.test(encoding)) {
    out.range = scaled(view(encoding, bytes), Number(encoding.at(-1)), /^(16UC|32FC|64FC)/.test(encoding), data);
  } else {
    return null;
  }
  return out;
}

/** The numbers of a pixel, in formats whose numbers are no colours but values, or more than eight bits of grey. */
export function pixel(encoding: string, width: number, bytes: Uint8Array<ArrayBuffer>, x: number, y: number): number[] | null {
  if (encoding !== 'mono16' && !/^(8|16|32|64)[USF]C[1-4]$/.test(encoding)) return null;
  const step = encoding === 'mono16' ? 1 : Number(encoding.at(-1)), at = (y * width + x) * step;
  return Array.from(view(encoding, bytes).subarray(at, at + step));
}

function packed(from: Uint8Array | Uint16Array, order: number[], shift: number, to: Uint8ClampedArray): void {
  const step = order.length, [r, g, b] = order, alpha = step === 4;
  for (let i = 0, o = 0; o < to.length; i += step, o += 4) {
    to[o] = from[i + r] >> shift;
    to[o + 1] = from[i + g] >> shift;
    to[o + 2] = from[i + b] >> shift;
    to[o + 3] = alpha ? from[i + 3] >> shift : 255;
  }
}

function grey(from: Uint8Array | Uint16Array, shift: number, to: Uint8ClampedArray): void {
  for (let i = 0, o = 0; o < to.length; i++, o += 4) {
    to[o] = to[o + 1] = to[o + 2] = from[i] >> shift;
    to[o + 3] = 255;
  }
}

/** Any numbers, from their least to their greatest; zeros of depth images are holes. */
function scaled(from: View, step: number, depth: boolean, to: Uint8ClampedArray): Range {
  let low = Infinity, high = -Infinity;
  const holes = depth && step === 1;
  for (let i = 0; i < from.length; i++) {
    const v = from[i];
    if (!Number.isFinite(v) || (holes && v === 0)) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (low > high) low = high = 0;
  const scale = high > low ? 255 / (high - low) : 0;
  for (let i = 0, o = 0; o < to.length; i += step, o += 4) {
    to[o + 3] = 255;
    const v = from[i];
    if (step === 1) {
      if (!Number.isFinite(v) || (holes && v === 0)) { to[o] = to[o + 1] = to[o + 2] = 0; continue; }
      const c = Math.round((v - low) * scale) * 3;
      to[o] = TURBO[c]; to[o + 1] = TURBO[c + 1]; to[o + 2] = TURBO[c + 2];
    } else {
      to[o] = (v - low) * scale;
      to[o + 1] = (from[i + 1] - low) * scale;
      to[o + 2] = step > 2 ? (from[i + 2] - low) * scale : 0;
    }
  }
  return { low, high };
}

function bayer(
  from: Uint8Array | Uint16Array, red: [number, number], shift: number, w: number, h: number, to: Uint8ClampedArray,
): void {
  const [rx, ry] = red;
  const at = (x: number, y: number): number =>
    from[(y < 0 ? 1 : y >= h ? h - 2 : y) * w + (x < 0 ? 1 : x >= w ? w - 2 : x)] >> shift;
  for (let y = 0, o = 0; y < h; y++) {
    for (let x = 0; x < w; x++, o += 4) {
      const own = at(x, y);
      const cross = (at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1)) / 4;
      const corners = (at(x - 1, y - 1) + at(x + 1, y - 1) + at(x - 1, y + 1) + at(x + 1, y + 1)) / 4;
      const flat = (at(x - 1, y) + at(x + 1, y)) / 2, up = (at(x, y - 1) + at(x, y + 1)) / 2;
      const inX = (x & 1) === rx, inY = (y & 1) === ry;
      to[o] = inX && inY ? own : inX ? up : inY ? flat : corners;
      to[o + 1] = inX === inY ? cross : own;
      to[o + 2] = !inX && !inY ? own : inX && inY ? corners : inX ? flat : up;
      to[o + 3] = 255;
    }
  }
}

function yuv(to: Uint8ClampedArray, o: number, y: number, u: number, v: number): void {
  const l = 1.164 * (y - 16);
  u -= 128; v -= 128;
  to[o] = l + 1.596 * v;
  to[o + 1] = l - 0.392 * u - 0.813 * v;
  to[o + 2] = l + 2.017 * u;
  to[o + 3] = 255;
}

function pairs(from: Uint8Array, luma: 0 | 1, to: Uint8ClampedArray): void {
  const chroma = 1 - luma;
  for (let i = 0, o = 0; o < to.length; i += 4, o += 8) {
    const u = from[i + chroma], v = from[i + chroma + 2];
    yuv(to, o, from[i + luma], u, v);
    yuv(to, o + 4, from[i + luma + 2], u, v);
  }
}

function planes(from: Uint8Array, encoding: string, w: number, h: number, to: Uint8ClampedArray): void {
  const half = encoding !== 'nv24', swap = encoding === 'nv21' ? 1 : 0;
  for (let y = 0, o = 0; y < h; y++) {
    for (let x = 0; x < w; x++, o += 4) {
      const c = half ? w * h + (y >> 1) * w + (x & ~1) : w * h + y * 2 * w + x * 2;
      yuv(to, o, from[y * w + x], from[c + swap], from[c + 1 - swap]);
    }
  }
}
