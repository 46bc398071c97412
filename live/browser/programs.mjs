// The programs that tests start, and waits with an end.

import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

export const { values: programs } = parseArgs({
  options: { live: { type: 'string' }, scene: { type: 'string' }, publish: { type: 'string' }, sim: { type: 'string' }, out: { type: 'string' }, only: { type: 'string' }, page: { type: 'string' } },
});

/** Long: a machine that has much else to do draws points in space very slowly. */
export const PATIENCE = 180_000;
const running = new Set();

export function start(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
  running.add(child);
  child.ended = new Promise((done) => child.once('exit', (code, signal) => { running.delete(child); done({ code, signal }); }));
  return child;
}

/** Asks a program to end, as a region's owner should, and waits until it has. */
export async function end(child) {
  if (child.stdin) child.stdin.end(); else child.kill('SIGTERM');
  return child.ended;
}

export async function endAll() {
  await Promise.all([...running].map(end));
}

/** A region with these streams; `frame` publishes typed arrays by the streams' numbers, `every` does so again and again. */
export function publish(name, streams) {
  const all = streams.map(([id, name, type, max = 1, components = 1, extra = null]) => ({ id, name, type, max, components, extra }));
  const child = start(programs.publish, [name, JSON.stringify(all)], { stdio: ['pipe', 'ignore', 'inherit'] });
  let timer;
  const hex = (a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength).toString('hex');
  const frame = (data) => child.stdin.writable && child.stdin.write(`${JSON.stringify(Object.fromEntries(Object.entries(data).map(([id, a]) => [id, hex(a)])))}\n`);
  return {
    frame,
    every(ms, data) { timer = setInterval(() => frame(typeof data === 'function' ? data() : data), ms); return this; },
    end() { clearInterval(timer); return end(child); },
  };
}

/** `shmx-live`, once it has printed its link. */
export async function live(names, ...options) {
  const listen = options.some((o) => o.startsWith('--listen')) ? [] : ['--listen', '127.0.0.1:0'];
  const child = start(programs.live, [...names, ...listen, '--quiet', ...options], { env: { ...process.env, ...live.env } });
  let text = '';
  const wanted = options.some((o) => o.startsWith('--foxglove')) ? 2 : 1;
  await new Promise((done, fail) => {
    child.stdout.on('data', (d) => { text += d; if (text.split('\n').length > wanted) done(); });
    child.ended.then(({ code }) => fail(new Error(`shmx-live ended with ${code}`)));
  });
  const [link, foxglove] = text.trim().split('\n');
  const url = new URL(link);
  return { child, link, foxglove, host: url.host, token: new URLSearchParams(url.hash.slice(1)).get('token') };
}

/** While the page is worked on: that of a folder (`--page`) instead of the one in the program. */
export async function pageOf(context) {
  for (const file of programs.page ? ['live.js', 'live.css'] : []) {
    await context.route(`**/${file}`, (r) => r.fulfill({ path: `${programs.page}/${file}` }));
  }
  return context;
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** What `look` gives, once that is something; an error after a long time. */
export async function until(what, look) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await sleep(150);
  }
}
