// A control message for a region's server.

import { el, icon, plain } from './dom';

const NUMBERS = ['f64', 'f32', 'i64', 'i32', 'u64', 'u32', 'u8'];

/** The first type that is free for applications. */
const FIRST_TYPE = 0x3000;

/** A number in little-endian, as hex, or why not. */
function encode(kind: string, text: string): { hex?: string; why?: string } {
  const bits = Number(kind.slice(1)), data = new DataView(new ArrayBuffer(bits / 8));
  if (kind[0] === 'f') {
    const v = text === '' ? NaN : Number(text);
    if (Number.isNaN(v)) return { why: `“${text}” is no number.` };
    if (!Number.isFinite(bits === 32 ? Math.fround(v) : v)) return { why: `${text} is too large for ${kind}.` };
    if (bits === 32) data.setFloat32(0, v, true); else data.setFloat64(0, v, true);
  } else {
    if (!/^([+-]?\d+|0x[\da-f]+)$/i.test(text)) return { why: `“${text}” is no whole number.` };
    const v = BigInt(text.replace('+', '')), low = kind[0] === 'i' ? -(1n << BigInt(bits - 1)) : 0n, high = low + (1n << BigInt(bits)) - 1n;
    if (v < low || v > high) return { why: `${kind} goes from ${low} to ${high}.` };
    for (let i = 0; i < bits / 8; i++) data.setUint8(i, Number(BigInt.asUintN(8, v >> BigInt(8 * i))));
  }
  return { hex: Array.from(new Uint8Array(data.buffer), (b) => b.toString(16).padStart(2, '0')).join('') };
}

export class Sender {
  readonly open = el('button', { type: 'button', class: 'send', hidden: true, title: 'Send a control message (c)', click: () => this.show() }, icon('send'), 'Send…');
  private readonly type = el('input', { name: 'type', value: 'user+1', required: true, spellcheck: 'false', autocomplete: 'off', 'aria-label': 'type' });
  private readonly kind = el('select', { name: 'kind', 'aria-label': 'kind of body' }, ...['nothing', ...NUMBERS, 'text', 'hex'].map((k) => el('option', { selected: k === 'f64' }, k)));
  private readonly value = el('input', { name: 'value', spellcheck: 'false', autocomplete: 'off', 'aria-label': 'value' });
  private readonly answer = el('p', { class: 'answer', role: 'status' });
  private readonly to = el('b');
  private readonly dialog: HTMLDialogElement;
  private next = 1;

  constructor(private readonly region: () => string | null, private readonly post: (what: object) => boolean) {
    this.dialog = el('dialog', { class: 'sender' },
      el('form', { submit: (e) => { e.preventDefault(); this.send(); } },
        el('h3', {}, 'Control message to ', this.to),
        el('label', {}, el('span', {}, 'Type'), this.type),
        el('label', {}, el('span', {}, 'Body'), el('span', { class: 'pair' }, this.kind, this.value)),
        el('p', { class: 'hint' }, 'A number from 0x3000 on, or user+N. Numbers are sent in little-endian.'),
        this.answer,
        el('menu', {}, el('button', { type: 'button', click: () => this.dialog.close() }, 'Close'), el('button', { type: 'submit', class: 'primary' }, 'Send'))));
    document.body.append(this.dialog);
    this.kind.addEventListener('change', () => { this.value.disabled = this.kind.value === 'nothing'; });
  }

  show(): void {
    if (this.open.hidden || !this.region()) return;
    this.to.textContent = plain(this.region() ?? '');
    this.answer.textContent = '';
    this.dialog.showModal();
  }

  private send(): void {
    const type = /^user(?:\+(\d+))?$/.exec(this.type.value.trim());
    const ty = type ? FIRST_TYPE + Number(type[1] ?? 0) : Number(this.type.value);
    if (!Number.isInteger(ty)) return this.say(`“${this.type.value}” is no type.`, true);
    if (ty < FIRST_TYPE || ty > 0xffffffff) return this.say('A type is a number from 0x3000 to 0xffffffff.', true);
    const kind = this.kind.value, text = this.value.value;
    const parts: object[] = [];
    if (NUMBERS.includes(kind)) {
      const hex = encode(kind, text.trim());
      if (hex.why) return this.say(hex.why, true);
      parts.push({ hex: hex.hex });
    } else if (kind === 'hex' && !/^(\s*[\da-f]{2})*\s*$/i.test(text)) {
      return this.say(`“${text}” is not a sequence of two-digit hex numbers.`, true);
    } else if (kind !== 'nothing') {
      parts.push({ [kind]: text });
    }
    this.say('…', false);
    if (!this.post({ op: 'control', region: this.region(), id: this.next++, ty, parts })) this.say('There is no connection.', true);
  }

  say(words: string, bad: boolean): void {
    this.answer.textContent = plain(words);
    this.answer.classList.toggle('bad', bad);
  }
}
