// A real browser, a foreign client of Foxglove's protocol and bare WebSockets against shmx-live.

import foxglove from '@foxglove/ws-protocol';
import assert from 'node:assert/strict';
import { request } from 'node:http';
import protobuf from 'protobufjs';
import 'protobufjs/ext/descriptor/index.js';
import WebSocket from 'ws';
import { launch } from './chrome.mjs';
import { oddTests } from './odd.mjs';
import { end, endAll, live, pageOf, PATIENCE, programs, sleep, start, until } from './programs.mjs';

const { FoxgloveClient } = foxglove;
const id = `shmx-live-${process.pid}`;
const robot = `${id}-robot`, sim = `${id}-galaxies`;
const tests = [];
const test = (name, body) => tests.push({ name, body });

const scene = () => start(programs.scene, [robot, '320', '240', '10'], { stdio: ['ignore', 'ignore', 'inherit'] });
const simulation = () => start(programs.sim, [sim, '--stars', '400', '--hz', '10'], { stdio: 'ignore' });

/** Opens a WebSocket; the status of a refusal, or the open socket. */
function connect(server, { token = server.token, origin, path = '/ws', host, protocols }) {
  const headers = { ...(origin && { origin }), ...(host && { host }) };
  const ws = new WebSocket(`ws://${server.host}${path}`, protocols ?? ['shmx.live.1', `token.${token}`], { headers });
  return new Promise((done, fail) => {
    ws.on('unexpected-response', (_, r) => { r.resume(); done(r.statusCode); });
    ws.on('open', () => done(ws));
    ws.on('error', fail);
  });
}

function fetchStatus(server, path, host) {
  return new Promise((done, fail) => {
    const [hostname, port] = server.host.split(':');
    request({ hostname, port, path, headers: { host } }, (r) => { r.resume(); done(r); }).on('error', fail).end();
  });
}

test('wrong token, origin and host are refused', async ({ server }) => {
  for (const token of ['0'.repeat(32), '', server.token.slice(1)]) assert.equal(await connect(server, { token }), 403);
  assert.equal(await connect(server, { protocols: ['shmx.live.1'] }), 403);
  for (const origin of ['http://evil.example', 'null', `http://evil.example/${server.host}`]) {
    assert.equal(await connect(server, { origin }), 403, origin);
  }
  assert.equal(await connect(server, { host: 'evil.example' }), 403);
  assert.equal(await connect(server, { protocols: [`token.${server.token}`] }), 400, 'another version of the page');
  assert.equal((await fetchStatus(server, '/', 'evil.example')).statusCode, 403);
  const page = await fetchStatus(server, '/', server.host);
  assert.equal(page.statusCode, 200);
  assert.match(page.headers['content-security-policy'], /default-src 'none'/);
  assert.equal((await fetchStatus(server, '/../Cargo.toml', server.host)).statusCode, 404);
  const ws = await connect(server, { origin: `http://${server.host}` });
  ws.close();
});

/** A viewer in a few lines: subscribes, and acknowledges when it likes. */
async function viewer(server, region, streams) {
  const ws = await connect(server, {});
  const v = { frames: [], texts: [], ws, send: (what) => ws.send(JSON.stringify(what)) };
  ws.on('message', (data, binary) => {
    if (!binary) return v.texts.push(JSON.parse(data));
    v.frames.push(JSON.parse(data.subarray(data.readUInt32LE(0), data.readUInt32LE(0) + data.readUInt32LE(4))));
    v.onFrame?.();
  });
  v.ack = () => v.send({ op: 'ack', region });
  v.send({ op: 'look', on: true });
  v.send({ op: 'subscribe', region, streams });
  return v;
}

test('one frame under way, and the newest next', async ({ server }) => {
  const region = `${robot}-base`;
  const slow = await viewer(server, region, []);
  const fast = await viewer(server, region, [{ id: 1, max: 100 }]);
  fast.onFrame = () => fast.ack();
  await until('a fast viewer has 20 frames', () => fast.frames.length >= 20);
  assert.equal(slow.frames.length, 1, 'nothing is sent before it is acknowledged');
  slow.ack();
  await until('the next frame', () => slow.frames.length === 2);
  assert.ok(slow.frames[1].frame > slow.frames[0].frame + 10, 'it is not the one that was next then');
  const lidar = fast.frames.at(-1).streams.find((s) => s.id === 1);
  assert.deepEqual([lidar.n, lidar.every, lidar.len], [24000, 240, 1600]);
  assert.ok(slow.frames[1].streams.every((s) => s.part && s.len <= 64), 'only previews of what nobody asked for');
  // A hidden page gets nothing, and what it wants is told anew.
  fast.send({ op: 'look', on: false });
  fast.send({ op: 'directory', region });
  await until('the answer behind it', () => fast.texts.some((t) => t.op === 'directory'));
  const had = fast.frames.length;
  slow.ack();
  await until('another one still gets frames', () => slow.frames.length === 3);
  slow.ack();
  await until('and more', () => slow.frames.length === 4);
  assert.ok(fast.frames.length <= had + 1);
  fast.send({ op: 'control', region, id: 5, ty: 12289, parts: [] });
  fast.send({ op: 'rubbish' });
  await until('two refusals', () => fast.texts.filter((t) => t.op === 'failed').length === 2);
  assert.match(fast.texts.find((t) => t.op === 'failed' && t.id === 5).why, /--control/);
  slow.ws.close();
  fast.ws.close();
});

const pixels = (page, panel) => page.evaluate((selector) => {
  const from = document.querySelector(`${selector} canvas`);
  if (!from || !from.width) return null;
  const c = document.createElement('canvas');
  [c.width, c.height] = [64, 48];
  const g = c.getContext('2d', { willReadFrequently: true });
  g.drawImage(from, 0, 0, 64, 48);
  const data = [...g.getImageData(0, 0, 64, 48).data];
  return { text: data.join(), colours: new Set(Array.from({ length: 3072 }, (_, i) => data.slice(i * 4, i * 4 + 3).join())).size };
}, panel);

const panel = (region, stream) => `.panel[data-region="${region}"][data-stream="${stream}"]`;
const value = (page, region, stream) => page.locator(`${panel(region, stream)} .legend .value`).first().textContent();

async function open(browser, server, more = '', viewport = { width: 1280, height: 900 }, init = () => {}) {
  const page = await (await pageOf(await browser.newContext({ viewport, colorScheme: 'dark' }))).newPage();
  await page.addInitScript(init);
  page.setDefaultTimeout(PATIENCE);
  page.problems = [];
  page.on('pageerror', (e) => page.problems.push(String(e)));
  page.on('console', (m) => { if (m.type() === 'error') page.problems.push(m.text()); });
  page.received = 0;
  page.on('websocket', (w) => w.on('framereceived', ({ payload }) => { if (typeof payload !== 'string') page.received++; }));
  await page.goto(server.link + more);
  return page;
}

async function close(page) {
  assert.deepEqual(page.problems, []);
  await page.context().close();
}

test('an image changes, pause holds it, scrubbing and steps go back', async ({ browser, server }) => {
  const [eye, base] = [`${robot}-camera`, `${robot}-base`];
  const page = await open(browser, server, `&region=${base}&panels=image/${eye}/camera|image/${eye}/depth|points/${base}/lidar`);
  const camera = panel(`${robot}-camera`, 'camera');
  const first = await until('an image', async () => ((await pixels(page, camera))?.colours > 100 ? pixels(page, camera) : null));
  await until('it changes', async () => (await pixels(page, camera)).text !== first.text);
  const depth = await until('depth', async () => pixels(page, panel(`${robot}-camera`, 'depth')));
  assert.ok(depth.colours > 30);
  await until('points in space', async () => (await pixels(page, panel(`${robot}-base`, 'lidar')))?.colours > 20);
  await until('some history', async () => Number(await page.locator('.scrub').getAttribute('max')) > 20);

  await page.keyboard.press('Space');
  await page.locator('body.paused').waitFor();
  // What was under way may still come; then nothing does.
  await sleep(500);
  const [held, received] = [await pixels(page, camera), page.received];
  await sleep(500);
  assert.equal((await pixels(page, camera)).text, held.text);
  assert.equal(page.received, received, 'a paused page asks for nothing');

  await page.locator('.scrub').evaluate((s) => { s.value = '3'; s.dispatchEvent(new Event('input')); });
  const back = await pixels(page, camera);
  assert.notEqual(back.text, held.text);
  assert.match(await page.locator('.clock').textContent(), /^−\d+\.\d\d s$/);
  await page.keyboard.press('Home');
  assert.equal(await page.locator('.scrub').inputValue(), '0');
  await page.keyboard.press('Shift+ArrowRight');
  assert.ok(Number(await page.locator('.scrub').inputValue()) >= 10);
  await page.keyboard.press('ArrowLeft');
  assert.ok(Number(await page.locator('.scrub').inputValue()) >= 9);
  await page.keyboard.press('End');
  await until('it goes on', async () => page.received > received + 5);
  await close(page);
});

test('a plotted value, and a control message that changes it', async ({ browser, control }) => {
  const page = await open(browser, control, `&region=${sim}&panels=plot/${sim}/gravity|points/${sim}/position`);
  await until('gravity', async () => (await value(page, sim, 'gravity')) === '1');
  await until('stars', async () => (await pixels(page, panel(sim, 'position')))?.colours > 20);
  await page.getByRole('button', { name: 'Send…' }).click();
  await page.getByLabel('type', { exact: true }).fill('user+1');
  await page.getByLabel('kind of body').selectOption('f64');
  await page.getByLabel('value', { exact: true }).fill('2.5');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByText(/Taken by the server after/).waitFor();
  await page.getByRole('button', { name: 'Close', exact: true }).first().click();
  await until('the new gravity', async () => (await value(page, sim, 'gravity')) === '2.5');
  await close(page);
});

test('a hidden page gets nothing', async ({ browser, server }) => {
  const page = await open(browser, server, `&region=${robot}-base&panels=plot/${robot}-base/gyro`);
  await until('frames', () => page.received > 10);
  const see = (state) => page.evaluate((s) => {
    Object.defineProperty(document, 'visibilityState', { value: s, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, state);
  await see('hidden');
  await sleep(700);
  const received = page.received;
  await sleep(700);
  assert.equal(page.received, received);
  await see('visible');
  await until('frames again', () => page.received > received + 5);
  await close(page);
});

test('the layout is in the link, also on a phone', async ({ browser, server }) => {
  // Chosen by the page itself, and then changed.
  const page = await open(browser, server);
  const battery = panel(`${robot}-base`, 'battery');
  await page.locator(battery).waitFor();
  await until('a value with its unit', async () => /^2\d\.\d+ V$/.test(await value(page, `${robot}-base`, 'battery')));
  assert.equal(await page.locator(panel(`${robot}-base`, 'lidar')).getAttribute('data-kind'), 'points');
  assert.equal(await page.locator(panel(`${robot}-base`, 'gyro')).getAttribute('data-kind'), 'plot');
  // Those in space, too: they are much to draw.
  for (const stream of ['battery', 'lidar', 'trajectory']) {
    const one = panel(`${robot}-base`, stream);
    await page.locator(`${one} h2`).click();
    await page.keyboard.press('x');
    await page.locator(one).waitFor({ state: 'detached' });
  }
  await page.keyboard.press('t');
  const link = page.url();
  assert.match(link, /theme=light/);
  const panels = await page.locator('.panel').count();
  await close(page);

  const again = await open(browser, { link }, '', { width: 390, height: 844 });
  await until('the same panels', async () => (await again.locator('.panel').count()) === panels);
  assert.equal(await again.locator(battery).count(), 0);
  assert.equal(await again.evaluate(() => document.documentElement.dataset.theme), 'light');
  assert.equal(await again.evaluate(() => document.documentElement.scrollWidth), 390, 'nothing sticks out');
  await again.getByRole('button', { name: 'Regions (b)' }).click();
  await again.locator(`#side [data-stream="battery"]`).click();
  await again.locator(battery).waitFor();
  await again.keyboard.press('Escape');
  await again.locator(`${panel(`${robot}-camera`, 'camera')} h2`).click();
  const [file] = await Promise.all([again.waitForEvent('download'), again.keyboard.press('p')]);
  assert.match(file.suggestedFilename(), /camera-\d+\.png$/);
  await close(again);
});

test('regions come, end and come again', async ({ browser, server }) => {
  const name = `${id}-robot-late`;
  const page = await open(browser, server, `&region=${robot}-base&panels=plot/${robot}-base/gyro`);
  const card = page.locator(`[data-region="${name}-base"].region-card`);
  await page.locator('.region-card').first().waitFor();
  assert.equal(await card.count(), 0);
  const begin = () => start(programs.scene, [name, '64', '48', '30'], { stdio: ['ignore', 'ignore', 'inherit'] });
  let late = begin();
  await until('it is listed', async () => (await card.getAttribute('data-state').catch(() => null)) === 'live');
  late.kill('SIGKILL');
  await late.ended;
  await until('it has died', async () => (await card.getAttribute('data-state')) === 'died');
  late = begin();
  await until('it is back', async () => (await card.getAttribute('data-state')) === 'live');
  await end(late);
  await until('it has ended', async () => (await card.getAttribute('data-state')) !== 'live');
  await close(page);
});

test('a foreign client of the Foxglove protocol', async ({ control }) => {
  const url = new URL(control.foxglove);
  assert.equal(await connect(control, { path: '/foxglove?token=x', protocols: ['foxglove.websocket.v1'] }), 403);
  assert.equal(await connect(control, { path: `${url.pathname}${url.search}`, protocols: ['foxglove.websocket.v1'], origin: 'https://evil.example' }), 403);
  const client = new FoxgloveClient({ ws: new WebSocket(control.foxglove, [FoxgloveClient.SUPPORTED_SUBPROTOCOL]) });
  const channels = new Map(), messages = new Map(), topicOf = new Map();
  let info;
  client.on('serverInfo', (i) => { info = i; });
  client.on('advertise', (all) => all.forEach((c) => channels.set(c.topic, c)));
  client.on('message', ({ subscriptionId, data, timestamp }) => {
    const topic = topicOf.get(subscriptionId);
    const c = channels.get(topic);
    const root = protobuf.Root.fromDescriptor(Buffer.from(c.schema, 'base64'));
    const message = root.lookupType(c.schemaName).decode(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    messages.set(topic, { message, timestamp });
  });
  const subscribe = (topic) => topicOf.set(client.subscribe(channels.get(topic).id), topic);
  const all = [
    `/${robot}-camera/camera`, `/${robot}-base/lidar/points`, `/${robot}-base/trajectory/poses`, `/${robot}-base/battery`, `/${sim}/gravity`, `/${robot}-base/values`,
  ];
  const [image, points, poses, number, gravity, values] = all;
  await until('channels', () => all.every((t) => channels.has(t)));
  assert.deepEqual(info.capabilities, ['clientPublish']);
  all.forEach(subscribe);
  await until('messages', () => messages.size === all.length);
  const m = (topic) => messages.get(topic).message;
  assert.deepEqual([m(image).width, m(image).height, m(image).encoding, m(image).data.length], [320, 240, 'rgb8', 320 * 240 * 3]);
  assert.deepEqual([m(points).pointStride ?? m(points).point_stride, m(points).data.length, m(points).fields.length], [16, 24000 * 16, 3]);
  assert.equal(m(poses).poses.length, 40);
  assert.ok(Math.abs(m(number).values[0] - 24.5) < 1);
  assert.ok(Math.abs(m(values).battery - 24.5) < 1, 'a plain field for one number');
  assert.equal(m(values).gyro.length, 3);
  assert.ok(Math.abs(Number(messages.get(image).timestamp) / 1e6 - Date.now()) < 60_000);
  const before = m(image).data;
  await until('the image changes', () => !Buffer.from(m(image).data).equals(Buffer.from(before)));
  const channel = client.advertise({ topic: `/${sim}/control`, encoding: 'json', schemaName: '' });
  client.sendMessage(channel, Buffer.from(JSON.stringify({ ty: 0x3001, parts: [{ f64: 0.5 }] })));
  await until('gravity as it was sent', () => m(gravity).values[0] === 0.5);
  client.close();
});

oddTests(test, { id, open, close, panel, value });

const programsOfAll = [scene(), simulation()];
const browser = await launch();
let [passed, failed, skipped] = [0, 0, 0];
try {
  const server = await live([`${id}-robot*`]);
  const control = await live([`${robot}-*`, sim], '--control', '--foxglove');
  const odd = await live([`${id}-odd*`], '--control');
  for (const { name, body } of tests) {
    if (programs.only && !name.includes(programs.only)) { skipped++; continue; }
    const before = Date.now();
    try {
      await body({ browser, server, control, odd });
      passed++;
      console.log(`ok ${name} (${((Date.now() - before) / 1000).toFixed(1)} s)`);
    } catch (e) {
      failed++;
      console.log(`FAILED ${name}: ${e.stack}`);
      await Promise.all(browser.contexts().map((c) => c.close()));
    }
  }
  const ended = await Promise.all([server, control, odd].map((s) => end(s.child)));
  if (!ended.every((e) => e.code === 0)) { failed++; console.log(`FAILED shmx-live ends in order: ${JSON.stringify(ended)}`); }
} finally {
  await browser.close();
  await Promise.all(programsOfAll.map(end));
  await endAll();
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed ? 1 : 0);
