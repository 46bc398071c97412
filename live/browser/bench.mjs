// What shmx-live takes of a processor, and what it does to its producer: 1920x1080 RGB at 30 Hz.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import WebSocket from 'ws';
import { launch } from './chrome.mjs';
import { end, endAll, live, programs, sleep, start, until } from './programs.mjs';

const SECONDS = 15;
const name = `shmx-live-bench-${process.pid}`;
const ticks = Number(execFileSync('getconf', ['CLK_TCK']));

/** A process and its children: shmx-live has one that keeps and one that works. */
const both = (pid) => [pid, ...readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)];
const sum = (pid, of) => both(pid).reduce((all, one) => all + of(one), 0);

/** Seconds of a processor that they have taken. */
const taken = (pid) => sum(pid, (one) => {
  const fields = readFileSync(`/proc/${one}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
});

const memory = (pid) => sum(pid, (one) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${one}/status`, 'utf8'))[1]) / 1024);

async function producer() {
  const scene = start(programs.scene, [name, '1920', '1080', '30', '1e9'], { stdio: ['ignore', 'pipe', 'inherit'] });
  scene.text = '';
  scene.stdout.on('data', (d) => { scene.text += d; });
  await sleep(1000);
  return scene;
}

/** One round: what the producer says at its end, and what the server took meanwhile. */
async function round(what, { server, watch }) {
  const scene = await producer();
  const s = server ? await live([`${name}-*`]) : null;
  const close = watch ? await watch(s) : async () => {};
  await sleep(2000);
  const [before, since] = [s && taken(s.child.pid), Date.now()];
  await sleep(SECONDS * 1000);
  const cpu = s && ((taken(s.child.pid) - before) / ((Date.now() - since) / 1000)) * 100;
  const rss = s && memory(s.child.pid);
  const more = await close();
  if (s) await end(s.child);
  await end(scene);
  console.log(`${what}: ${s ? `server ${cpu.toFixed(2)} % of a processor, ${rss.toFixed(0)} MiB; ` : ''}${more ?? ''}${scene.text.trim()}`);
}

const browser = await launch();

/** A page that shows the image, in full or as large as its window. */
const page = (panels) => async (s) => {
  const p = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
  let frames = 0, bytes = 0;
  p.on('websocket', (w) => w.on('framereceived', ({ payload }) => { if (typeof payload !== 'string') { frames++; bytes += payload.length; } }));
  await p.goto(`${s.link}&panels=${panels}&sidebar=0&details=0`);
  await until('frames', () => frames > 5);
  const [f, b, at] = [frames, bytes, Date.now()];
  return async () => {
    const t = (Date.now() - at) / 1000;
    const words = `page ${((frames - f) / t).toFixed(1)} frames/s, ${((bytes - b) / t / 1e6).toFixed(1)} MB/s; `;
    await p.context().close();
    return words;
  };
};

/** A client that only takes what comes: with `max` pixels in a row, 0 for all. */
const client = (max) => async (s) => {
  const region = `${name}-camera`;
  const ws = new WebSocket(`ws://${s.host}/ws`, ['shmx.live.1', `token.${s.token}`]);
  await new Promise((done, fail) => { ws.on('open', done); ws.on('error', fail); });
  let frames = 0, bytes = 0;
  const send = (what) => ws.send(JSON.stringify(what));
  ws.on('message', (data, binary) => {
    if (!binary) return;
    frames++; bytes += data.length;
    send({ op: 'ack', region });
  });
  send({ op: 'look', on: true });
  send({ op: 'subscribe', region, streams: [{ id: 1, max }] });
  await until('frames', () => frames > 5);
  const [f, b, at] = [frames, bytes, Date.now()];
  return async () => {
    const t = (Date.now() - at) / 1000;
    ws.close();
    return `client ${((frames - f) / t).toFixed(1)} frames/s, ${((bytes - b) / t / 1e6).toFixed(1)} MB/s; `;
  };
};

try {
  for (let i = 1; i <= 2; i++) {
    await round(`${i}. without shmx live`, {});
    await round(`${i}. nobody looks`, { server: true });
    await round(`${i}. a client, 1080p, all pixels`, { server: true, watch: client(0) });
    await round(`${i}. a client, 1080p, 960 pixels in a row`, { server: true, watch: client(960) });
    await round(`${i}. a page, 1080p image in a window`, { server: true, watch: page(`image/${name}-camera/camera/wide`) });
  }
} finally {
  await browser.close();
  await endAll();
}
