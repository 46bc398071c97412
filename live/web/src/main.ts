// The page: what comes is kept, shown, and asked for again.

import 'uplot/dist/uPlot.min.css';
import './style.css';
import { choose } from './choose';
import { Details } from './details';
import { button, el, icon, plain } from './dom';
import { History } from './history';
import { Known } from './known';
import * as link from './link';
import { Frame, RegionState, StreamInfo } from './model';
import { ArrayPanel, TablePanel } from './panels/array';
import { ImagePanel } from './panels/image';
import { download, Host, kinds, Panel } from './panels/panel';
import { PlotPanel } from './panels/plot';
import { PointsPanel } from './panels/points';
import { pictureOf } from './save';
import { Sender } from './send';
import { Side } from './side';
import { both, Socket, Wants } from './socket';
import { formatBytes } from './values';

const PANELS = { image: ImagePanel, plot: PlotPanel, points: PointsPanel, array: ArrayPanel, table: TablePanel };
const small = matchMedia('(max-width: 760px)');

const layout = link.read(location.hash);
const history_ = new History((small.matches ? 64 : 256) << 20);
const regions = new Map<string, RegionState>();
const known = new Known();
/** Session and generation of the directories that were asked for. */
const asked = new Map<string, string>();
const panels: Panel[] = [];
/** What stands for panels of streams that are not there. */
const waiting = new Map<link.PanelPlace, HTMLElement>();
/** Regions of which nothing was opened by itself yet. */
const automatic = new Set<string>();
let chooseAll = layout.panels === null;
const places: link.PanelPlace[] = layout.panels ?? [];
let paused = false;
let position = -1;
let focused: Panel | null = null;
let dirty = new Set<string>();
let due = false;
const unacknowledged = new Set<string>();

// --- the page's parts

const main = el('main'), grid = el('div', { class: 'grid' }), list = el('nav', { id: 'side', 'aria-label': 'Regions' });
const hint = el('div', { class: 'welcome', hidden: true }, el('h2', {}, 'Nothing is shown'), el('p', {}, 'Choose a stream on the left to open a panel for it.'));
const trouble = el('div', { class: 'trouble', role: 'alert', title: 'Hide this', hidden: true, click: () => say(null) });
const sender = new Sender(() => layout.region, (what) => socket.send(what));
const detailsBox = el('section', { class: 'details', 'aria-label': 'Region' });
const details = new Details(detailsBox, sender.open);
const hostName = el('span', { class: 'host' });
const pauseButton = button('pause', 'Pause (Space)', () => setPaused(!paused), 'pause');
const liveButton = el('button', { type: 'button', class: 'live', title: 'Show what comes (End)', click: () => setPaused(false) }, el('i'), 'LIVE');
const slider = el('input', { type: 'range', min: '0', max: '0', value: '0', step: '1', 'aria-label': 'History', class: 'scrub' });
const clock = el('output', { class: 'clock' }), kept = el('span', { class: 'kept' });
const windows = el('select', { class: 'window', title: 'Time that plots show', 'aria-label': 'Time that plots show' },
  ...[5, 10, 20, 60, 300].map((s) => el('option', { value: String(s), selected: s === layout.window }, s < 60 ? `${s} s` : `${s / 60} min`)));
const themeButton = button('sun', 'Dark or light (t)', () => setTheme(theme() === 'dark' ? 'light' : 'dark'));
const help = el('dialog', { class: 'help' }, el('h3', {}, 'Keys'), el('dl', {}, ...[
  ['Space', 'pause, go on'], ['← →', 'one frame back or on; with Shift ten'], ['Home, End', 'oldest frame; live'],
  ['Tab', 'from panel to panel'], ['m', 'show the panel in another way'], ['w', 'wide'], ['f', '3D: see all'], ['x', 'close the panel'],
  ['p', 'save the panel as a picture'], ['s', 'save everything as a picture'], ['b', 'list of regions'], ['d', 'state of the region'],
  ['c', 'control message'], ['t', 'dark or light'], ['?', 'this list'],
].flatMap(([k, v]) => [el('dt', {}, el('kbd', {}, k)), el('dd', {}, v)])),
el('p', {}, 'Images: the wheel zooms, dragging moves, a double click shows all. 3D: dragging turns. The layout is in the link: copy it to keep it, but mind that it carries the token.'),
el('p', {}, el('a', { href: 'licenses.txt', target: '_blank', rel: 'noopener' }, 'Licences')),
el('menu', {}, el('button', { type: 'button', class: 'primary', click: () => help.close() }, 'Close')));

document.body.append(
  el('header', { class: 'bar' },
    button('menu', 'Regions (b)', () => setSide(!sideShown())),
    el('span', { class: 'brand' }, el('b', {}, 'shmx'), ' live'), hostName, el('span', { class: 'space' }),
    button('camera', 'Save everything as a picture (s)', () => void saveAll()),
    themeButton, button('help', 'Keys (?)', () => help.showModal())),
  trouble, list, main,
  el('footer', { class: 'bar' },
    pauseButton,
    button('back', 'One frame back (←)', () => step(-1)), button('forward', 'One frame on (→)', () => step(1)),
    el('div', { class: 'track' }, slider), clock, kept, windows, liveButton),
  help);
main.append(detailsBox, grid, hint);

const host: Host = {
  history: history_,
  window: () => layout.window,
  live: () => !paused,
  now: () => (paused ? history_.frames[position]?.head.time ?? Date.now() : Date.now()) / 1000,
  part: (f, s) => known.part(f, s),
  close: (p) => closePlace(p.place),
  change: (p, place) => changePanel(p, place),
  move: (p, by) => movePanel(p, by),
  focus: (p) => focus(p),
};

const side = new Side(list, {
  chosen: () => layout.region,
  choose: (name) => { layout.region = name; if (small.matches) setSide(false); save(); refresh(); },
  streams: (name) => known.directories.get(name)?.streams ?? [],
  frame: (name) => shownFrame(name),
  part: (f, s) => known.part(f, s),
  isOpen: (name, stream) => places.some((p) => p.region === name && p.stream === stream),
  toggle: (name, s) => toggle(name, s),
});

const socket = new Socket(layout.token, {
  hello(h) {
    hostName.textContent = h.host;
    document.title = `shmx live · ${h.host}`;
    sender.open.hidden = !h.control;
  },
  regions: onRegions,
  directory(d) {
    const fresh = known.add(d, history_.frames);
    answered();
    for (const p of panels.filter((p) => p.place.region === d.region)) {
      const s = known.stream(d.region, p.place.stream);
      if (s && s.description !== p.stream.description) { rebuild(p); continue; }
      if (s) p.stream = s;
      // What came before the directory.
      if (fresh) history_.frames.filter((f) => f.head.session === d.session).forEach((f) => p.arrived(f));
    }
    if (chooseAll && fresh) automatic.add(d.region);
    refresh();
    mark(d.region);
  },
  frame: onFrame,
  sent: (_, ms) => { answered(); sender.say(`Taken by the server after ${ms.toFixed(1)} ms.`, false); },
  failed: (id, why) => { if (id !== null) sender.say(why, true); else { say(why); refused = true; } },
  trouble: say,
});

// --- what comes

/** The banner tells of a request that was refused: the next answer takes it away. */
let refused = false;

function answered(): void { if (refused) say(null); }

function say(why: string | null): void {
  refused = false;
  trouble.hidden = why === null;
  trouble.textContent = plain(why ?? '');
}

function onRegions(all: RegionState[]): void {
  regions.clear();
  for (const r of all) regions.set(r.name, r);
  known.keep(new Set(regions.keys()));
  for (const name of asked.keys()) if (!regions.has(name)) asked.delete(name);
  for (const r of all) {
    const key = r.facts ? `${r.facts.session} ${r.facts.generation}` : '';
    if (key && asked.get(r.name) !== key) {
      asked.set(r.name, key);
      socket.send({ op: 'directory', region: r.name });
    }
  }
  if (!layout.region || (chooseAll && !regions.has(layout.region))) {
    layout.region = (all.find((r) => r.state === 'live') ?? all[0])?.name ?? null;
  }
  side.update(all);
  details.update(regions.get(layout.region ?? '') ?? null);
  refresh();
}

function onFrame(f: Frame): void {
  const name = f.head.region;
  known.latest.set(name, f);
  unacknowledged.add(name);
  const gone = history_.add(f);
  if (paused) position = Math.max(0, position - gone);
  else position = history_.length - 1;
  for (const p of panels) if (p.place.region === name) p.arrived(f);
  if (automatic.has(name)) refresh();
  mark(name);
}

function mark(name: string): void {
  dirty.add(name);
  if (due) return;
  due = true;
  requestAnimationFrame(draw);
}

function draw(): void {
  due = false;
  const names = dirty;
  dirty = new Set();
  for (const p of panels) if (names.has(p.place.region)) p.show(shownFrame(p.place.region));
  if (names.has(layout.region ?? '')) side.values();
  timeline();
  // A paused page asks for nothing more.
  if (!paused) acknowledge();
}

function acknowledge(): void {
  for (const name of unacknowledged) socket.ack(name);
  unacknowledged.clear();
}

function shownFrame(name: string): Frame | null {
  return paused ? history_.at(name, position) : known.latest.get(name) ?? null;
}

// --- panels

function save(): void {
  layout.panels = chooseAll ? null : places;
  history.replaceState(null, '', link.write(layout));
}

/** Opens and closes panels as the layout says, and asks for what they show. */
function refresh(): void {
  if (chooseAll) chooseByThemselves();
  for (const place of places) {
    if (panels.some((p) => p.place === place)) continue;
    const s = known.stream(place.region, place.stream);
    if (s) insert(new PANELS[place.kind](host, place, s)); else wait(place);
  }
  hint.hidden = places.length > 0 || regions.size === 0;
  const wants = new Map<string, Wants>();
  if (layout.region && known.directories.has(layout.region)) wants.set(layout.region, {});
  for (const name of automatic) wants.set(name, wants.get(name) ?? {});
  for (const p of panels) {
    const of = wants.get(p.place.region) ?? {};
    const have = of[p.stream.id], more = p.wants();
    of[p.stream.id] = have ? both(have, more) : more;
    wants.set(p.place.region, of);
  }
  for (const name of new Set([...wants.keys(), ...subscribed])) {
    socket.subscribe(name, wants.get(name) ?? null);
  }
  subscribed = new Set(wants.keys());
  side.values();
}
let subscribed = new Set<string>();

function chooseByThemselves(): void {
  for (const name of [...automatic]) {
    const d = known.directories.get(name), f = known.latest.get(name);
    if (!d || f?.head.session !== d.session) continue;
    automatic.delete(name);
    choose(d, f, places);
  }
}

function insert(p: Panel): void {
  panels.push(p);
  waiting.get(p.place)?.remove();
  waiting.delete(p.place);
  put(p.place, p.root);
  p.show(shownFrame(p.place.region));
}

/** Says what a panel waits for. */
function wait(place: link.PanelPlace): void {
  const there = known.directories.has(place.region);
  const words = there ? `${place.region} has no stream ${place.stream}` : `waiting for ${place.region}`;
  const root = waiting.get(place) ?? el('section', { class: 'panel waiting', 'data-region': place.region, 'data-stream': place.stream },
    el('header', {}, el('h2', {}, el('span', { class: 'region' }, place.region), el('b', {}, place.stream)),
      el('span', { class: 'space' }), button('close', 'Close', () => closePlace(place))),
    el('div', { class: 'body' }, el('div', { class: 'empty' })));
  root.querySelector('.empty')!.textContent = plain(words);
  if (waiting.has(place)) return;
  waiting.set(place, root);
  put(place, root);
}

const rootOf = (place: link.PanelPlace): HTMLElement | undefined =>
  panels.find((p) => p.place === place)?.root ?? waiting.get(place);

function put(place: link.PanelPlace, root: HTMLElement): void {
  const after = places.slice(places.indexOf(place) + 1).map(rootOf).find((r) => r?.isConnected);
  grid.insertBefore(root, after ?? null);
}

function remove(p: Panel): void {
  panels.splice(panels.indexOf(p), 1);
  p.dispose();
  p.root.remove();
  if (focused === p) focused = null;
}

function rebuild(p: Panel): void {
  remove(p);
  refresh();
}

function chosen(): void {
  chooseAll = false;
  automatic.clear();
  save();
  refresh();
}

/** Closes the panel at a place, or what stands for it. */
function drop(place: link.PanelPlace): void {
  places.splice(places.indexOf(place), 1);
  const p = panels.find((q) => q.place === place);
  if (p) remove(p);
  waiting.get(place)?.remove();
  waiting.delete(place);
}

function closePlace(place: link.PanelPlace): void {
  drop(place);
  chosen();
}

function changePanel(p: Panel, change: Partial<link.PanelPlace>): void {
  Object.assign(p.place, change);
  if (change.kind) remove(p); else p.root.classList.toggle('wide', p.place.wide);
  chosen();
  const again = panels.find((q) => q.place === p.place);
  if (again) focus(again);
}

function movePanel(p: Panel, by: 1 | -1): void {
  const at = places.indexOf(p.place), to = at + by;
  if (to < 0 || to >= places.length) return;
  [places[at], places[to]] = [places[to], places[at]];
  grid.append(...places.flatMap((q) => rootOf(q) ?? []));
  chosen();
}

function toggle(name: string, s: StreamInfo): void {
  const open = places.filter((p) => p.region === name && p.stream === s.key);
  open.forEach(drop);
  if (!open.length) {
    const f = known.latest.get(name), n = (f && known.part(f, s)?.n) ?? 1;
    const [best] = kinds(s);
    places.push({ kind: best === 'plot' && n * s.components > 64 ? 'array' : best, region: name, stream: s.key, wide: false });
  }
  chosen();
}

function focus(p: Panel | null): void {
  focused?.root.classList.remove('focused');
  focused = p;
  p?.root.classList.add('focused');
}

// --- time

function setPaused(on: boolean): void {
  if (paused === on) return;
  paused = on;
  position = history_.length - 1;
  document.body.classList.toggle('paused', on);
  pauseButton.replaceChildren(icon(on ? 'play' : 'pause'));
  pauseButton.title = on ? 'Go on (Space)' : 'Pause (Space)';
  if (!on) acknowledge();
  showAll();
}

function showAll(): void {
  for (const p of panels) p.show(shownFrame(p.place.region));
  side.values();
  timeline();
}

function seek(to: number): void {
  if (!history_.length) return;
  if (!paused) setPaused(true);
  position = Math.max(0, Math.min(history_.length - 1, to));
  showAll();
}

/** The next frame of what is looked at; past the newest one, a new one is asked for. */
function step(by: 1 | -1, times = 1): void {
  if (!paused) setPaused(true);
  const names = new Set(focused ? [focused.place.region] : panels.length ? panels.map((p) => p.place.region) : []);
  let to = position;
  for (let i = 0; i < times; i++) to = history_.step(to, by, names);
  if (to === position && by === 1) {
    position = history_.length - 1;
    acknowledge();
    onNext = true;
  }
  seek(to);
}
let onNext = false;

function timeline(): void {
  if (paused && onNext && unacknowledged.size) { onNext = false; position = history_.length - 1; showAllSoon(); }
  slider.max = String(Math.max(0, history_.length - 1));
  slider.value = String(paused ? position : history_.length - 1);
  const share = history_.length > 1 ? Number(slider.value) / (history_.length - 1) : 1;
  slider.style.setProperty('--at', `${share * 100}%`);
  const newest = history_.frames[history_.length - 1], f = history_.frames[Math.max(0, position)];
  const behind = newest && f ? (newest.head.time - f.head.time) / 1000 : 0;
  const text = !f ? '' : paused ? `−${behind.toFixed(2)} s` : time(f.head.time);
  if (clock.textContent !== text) clock.textContent = text;
  clock.title = f ? `${time(f.head.time)}, frame ${f.head.frame} of ${f.head.region}` : '';
  const span = newest ? (newest.head.time - history_.frames[0].head.time) / 1000 : 0;
  const words = `${span.toFixed(span < 10 ? 1 : 0)} s · ${formatBytes(history_.size)}`;
  if (kept.textContent !== words) kept.textContent = words;
  liveButton.classList.toggle('on', !paused);
}

function showAllSoon(): void { requestAnimationFrame(showAll); }

const time = (ms: number): string => {
  const d = new Date(ms);
  return `${d.toLocaleTimeString('en-GB')}.${String(Math.floor(d.getMilliseconds() / 100))}`;
};

slider.addEventListener('input', () => seek(Number(slider.value)));
windows.addEventListener('change', () => { layout.window = Number(windows.value); save(); panels.forEach((p) => p.redraw()); });

// --- looks

const theme = (): 'dark' | 'light' => layout.theme ?? (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark');

function setTheme(t: 'dark' | 'light' | null): void {
  layout.theme = t;
  document.documentElement.dataset.theme = theme();
  themeButton.replaceChildren(icon(theme() === 'dark' ? 'sun' : 'moon'));
  panels.forEach((p) => p.redraw());
  save();
}

const sideShown = (): boolean => layout.sidebar ?? !small.matches;

function setSide(on: boolean): void {
  layout.sidebar = on === !small.matches ? null : on;
  document.body.classList.toggle('side', sideShown());
  save();
}

function setDetails(on: boolean): void {
  layout.details = on;
  detailsBox.hidden = !on;
  save();
}

async function saveAll(): Promise<void> {
  const now = new Date(host.now() * 1000).toISOString();
  const title = `shmx live · ${hostName.textContent} · ${now}`;
  await download(pictureOf(grid, panels, title), `shmx-live-${Math.round(host.now() * 1000)}`);
}

/** A focused button is pressed with Enter; the space bar pauses, whatever was clicked last. */
const isPause = (e: KeyboardEvent): boolean => e.key === ' ' && !document.querySelector('dialog[open]');
document.addEventListener('keyup', (e) => { if (isPause(e) && (e.target as HTMLElement).matches('button')) e.preventDefault(); });

document.addEventListener('keydown', (e) => {
  const target = e.target as HTMLElement;
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
  if (target.matches('input:not([type=range]), select, textarea') && e.key !== 'Escape') return;
  if (target.matches('button') && e.key === 'Enter') return;
  const at = focused ? panels.indexOf(focused) : -1;
  const ordered = [...panels].sort((a, b) => places.indexOf(a.place) - places.indexOf(b.place));
  const keys: Record<string, () => void> = {
    ' ': () => setPaused(!paused),
    ArrowLeft: () => step(-1, e.shiftKey ? 10 : 1),
    ArrowRight: () => step(1, e.shiftKey ? 10 : 1),
    Home: () => seek(0),
    End: () => setPaused(false),
    t: () => setTheme(theme() === 'dark' ? 'light' : 'dark'),
    b: () => setSide(!sideShown()),
    d: () => setDetails(!layout.details),
    c: () => sender.show(),
    s: () => void saveAll(),
    '?': () => help.showModal(),
    x: () => focused && closePlace(focused.place),
    w: () => focused && changePanel(focused, { wide: !focused.place.wide }),
    p: () => void focused?.save(),
    f: () => focused instanceof PointsPanel && focused.fit(),
    m: () => {
      if (!focused) return;
      const all = kinds(focused.stream);
      changePanel(focused, { kind: all[(all.indexOf(focused.place.kind) + 1) % all.length] });
    },
    Tab: () => {
      const next = ordered[(ordered.indexOf(panels[at]) + (e.shiftKey ? -1 : 1) + ordered.length) % ordered.length];
      if (next) { focus(next); next.root.scrollIntoView({ block: 'nearest' }); }
    },
    Escape: () => (small.matches && sideShown() ? setSide(false) : focus(null)),
  };
  const action = keys[e.key];
  if (!action || (e.key === 'Tab' && (!panels.length || !target.matches('body, .panel')))) return;
  e.preventDefault();
  action();
});

let asking = 0;
new ResizeObserver(() => { clearTimeout(asking); asking = window.setTimeout(refresh, 250); }).observe(grid);
small.addEventListener('change', () => setSide(!small.matches));
matchMedia('(prefers-color-scheme: light)').addEventListener('change', () => setTheme(layout.theme));
window.addEventListener('hashchange', () => location.reload());
main.addEventListener('click', () => { if (small.matches && sideShown()) setSide(false); });

setTheme(layout.theme);
setSide(sideShown());
setDetails(layout.details);
timeline();
