// A control message for a region's server.

import { el, icon } from './dom';

const NUMBERS = ['f64', 'f32', 'i64', 'i32', 'u64', 'u32', 'u8'];

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
    this.to.textContent = this.region();
    this.answer.textContent = '';
    this.dialog.showModal();
  }

  private send(): void {
    const type = /^user(?:\+(\d+))?$/.exec(this.type.value.trim());
    const ty = type ? 0x3000 + Number(type[1] ?? 0) : Number(this.type.value);
    if (!Number.isInteger(ty) || ty < 0 || ty > 0xffffffff) return this.say(`“${this.type.value}” is no type.`, true);
    const kind = this.kind.value;
    const parts: object[] = [];
    if (NUMBERS.includes(kind)) {
      const v = Number(this.value.value);
      if (this.value.value.trim() === '' || Number.isNaN(v)) return this.say(`“${this.value.value}” is no number.`, true);
      parts.push({ [kind]: v });
    } else if (kind !== 'nothing') {
      parts.push({ [kind]: this.value.value });
    }
    this.say('…', false);
    if (!this.post({ op: 'control', region: this.region(), id: this.next++, ty, parts })) this.say('There is no connection.', true);
  }

  say(words: string, bad: boolean): void {
    this.answer.textContent = words;
    this.answer.classList.toggle('bad', bad);
  }
}
