// The page and streams that are unlike those of a robot: odd numbers, names, images, ends and beginnings.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { crc32, deflateSync } from 'node:zlib';
import { end, live, publish, sleep, until } from './programs.mjs';

const f32 = (...v) => new Float32Array(v);
const count = (n) => Float32Array.from({ length: n }, (_, i) => i);

/** A PNG of one row. */
function png(...pixels) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]), ends = [Buffer.alloc(4), Buffer.alloc(4)];
    ends[0].writeUInt32BE(data.length);
    ends[1].writeUInt32BE(crc32(body));
    return Buffer.concat([ends[0], body, ends[1]]);
  };
  const head = Buffer.from([0, 0, 0, pixels.length, 0, 0, 0, 1, 8, 6, 0, 0, 0]);
  const rows = deflateSync(Buffer.from([0, ...pixels.flat()]));
  return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk('IHDR', head), chunk('IDAT', rows), chunk('IEND', Buffer.alloc(0))]);
}

export function oddTests(test, { id, open, close, panel, value }) {
  let next = 0;
  const name = () => `${id}-odd-${next++}`;
  const link = (region, ...panels) => `&region=${region}&panels=${panels.map(([kind, stream]) => `${kind}/${region}/${encodeURIComponent(stream)}`).join('|')}`;
  const words = (page, region, stream) => page.locator(`${panel(region, stream)} .empty`).textContent();
  const legend = (page, region, stream) => page.locator(`${panel(region, stream)} .legend .value`).allTextContents();
  const cells = (page, region, stream) => page.locator(`${panel(region, stream)} td`).allTextContents();
  const hidden = (page, region, stream) => page.locator(panel(region, stream)).evaluate((p) => {
    const all = [...p.querySelectorAll('canvas, table')];
    return all.every((e) => getComputedStyle(e).visibility === 'hidden');
  });
  const pixel = (page, region, stream, x) => page.locator(`${panel(region, stream)} canvas`).evaluate((c, x) => [...c.getContext('2d').getImageData(x, 0, 1, 1).data], x);

  test('a plot and a table show the first elements', async ({ browser, odd }) => {
    const region = name(), from = publish(region, [[1, 'hundred', 'f32', 100], [2, 'vectors', 'f32', 20, 3, { view: 'values' }], [3, 'long', 'f32', 20000]]);
    from.every(100, { 1: count(100), 2: count(60), 3: count(20000) });
    const page = await open(browser, odd, link(region, ['plot', 'hundred'], ['plot', 'vectors'], ['array', 'long'], ['plot', 'long'], ['table', 'long']));
    const eight = ['0', '1', '2', '3', '4', '5', '6', '7'];
    for (const stream of ['hundred', 'vectors', 'long']) {
      await until(`values of ${stream}`, async () => (await legend(page, region, stream)).length === 8 && (await legend(page, region, stream)).every((t) => t !== '–'));
      assert.deepEqual(await legend(page, region, stream), eight, stream);
    }
    await until('rows', async () => (await cells(page, region, 'long')).length === 200);
    assert.equal((await cells(page, region, 'long'))[199], '199');
    await page.getByText('20000 × f32, 1:3').waitFor();
    await close(page);
    await from.end();
  });

  test('a region that comes back after shmx live was restarted', async ({ browser }) => {
    const region = name(), streams = [[1, 'a', 'f32']];
    live.env = { SHMX_LIVE_TOKEN: 'f'.repeat(32) };
    let from = publish(region, streams).every(50, { 1: f32(1) });
    let server = await live([`${id}-odd*`]);
    const page = await open(browser, server, link(region, ['plot', 'a']));
    await until('a value', async () => (await value(page, region, 'a')) === '1');
    await from.end();
    await end(server.child);
    await page.getByText('The connection is lost').waitFor();
    server = await live([`${id}-odd*`], `--listen=${server.host}`);
    live.env = {};
    await page.getByText('The connection is lost').waitFor({ state: 'hidden' });
    await sleep(500);
    from = publish(region, streams).every(50, { 1: f32(2) });
    await until('the new value', async () => (await value(page, region, 'a')) === '2');
    assert.ok(await page.locator('.trouble').isHidden());
    page.problems = page.problems.filter((p) => !p.includes('WebSocket'));
    await close(page);
    await from.end();
    await end(server.child);
  });

  test('what was not received is not shown', async ({ browser, odd }) => {
    const region = name();
    const from = publish(region, [[1, 'tick', 'f32'], [2, 'image', 'u8', 64, 3, { role: 'image', shape: [8, 8], encoding: 'rgb8' }], [3, 'long', 'f32', 100], [4, 'cloud', 'f32', 40, 4, { role: 'points' }]]);
    from.every(50, { 1: f32(1), 2: new Uint8Array(192).fill(200), 3: count(100), 4: count(160) });
    const page = await open(browser, odd, link(region, ['plot', 'tick']));
    await until('some frames', async () => Number(await page.locator('.scrub').getAttribute('max')) > 5);
    for (const stream of ['image', 'long', 'cloud']) {
      await page.locator(`#side [data-stream="${stream}"]`).click();
      await until(stream, async () => (await page.locator(`${panel(region, stream)} canvas`).count()) && !(await hidden(page, region, stream)));
    }
    await page.locator('h1').click();
    await page.keyboard.press('Space');
    await page.keyboard.press('Home');
    for (const stream of ['image', 'long', 'cloud']) {
      assert.equal(await words(page, region, stream), 'not received then', stream);
      assert.ok(await hidden(page, region, stream), stream);
    }
    await page.keyboard.press('End');
    await until('it is back', async () => !(await hidden(page, region, 'image')));
    await close(page);
    await from.end();
  });

  test('each frame is read with the directory of its session', async ({ browser, odd }) => {
    const region = name(), [one, two] = [{ 1: f32(1), 2: f32(2) }, { 1: f32(2), 2: f32(1) }];
    let from = publish(region, [[1, 'a', 'f32'], [2, 'b', 'f32']]).every(50, one);
    const page = await open(browser, odd, link(region, ['plot', 'a']));
    const side = () => page.locator('#side [data-stream="a"] .value').textContent();
    await until('a', async () => (await value(page, region, 'a')) === '1');
    await from.end();
    from = publish(region, [[1, 'b', 'f32'], [2, 'a', 'f32']]).every(50, two);
    const types = new Set();
    await until('the other session', async () => {
      types.add(await value(page, region, 'a'));
      const f = await page.locator('.clock').getAttribute('title');
      return (await page.locator('#side li').first().locator('.name').textContent()) === 'b' && f;
    });
    await sleep(500);
    assert.equal(await value(page, region, 'a'), '1');
    assert.ok(!types.has('2'), 'not for a moment');
    await page.locator('h1').click();
    await page.keyboard.press('Home');
    assert.equal(await value(page, region, 'a'), '1', 'long ago');
    await page.keyboard.press('End');
    await until('it goes on', async () => (await side()) === '1');
    await close(page);
    await from.end();
  });

  test('transparent images do not pile up, and the newest one stays', async ({ browser, odd }) => {
    const region = name(), from = publish(region, [[1, 'png', 'u8', 1000, 1, { role: 'image', encoding: 'png' }]]);
    const none = [0, 0, 0, 0], red = [255, 0, 0, 255], blue = [0, 0, 255, 255];
    from.frame({ 1: png(red, none) });
    const page = await open(browser, odd, link(region, ['image', 'png']), undefined, () => {
      const decode = window.createImageBitmap;
      window.createImageBitmap = async (...a) => { const wait = window.slow ?? 0; window.slow = 0; await new Promise((r) => setTimeout(r, wait)); return decode(...a); };
    });
    await until('the first', async () => String(await pixel(page, region, 'png', 0)) === String(red));
    from.frame({ 1: png(none, blue) });
    await until('the second', async () => String(await pixel(page, region, 'png', 1)) === String(blue));
    assert.deepEqual(await pixel(page, region, 'png', 0), none);
    await page.evaluate(() => { window.slow = 2000; });
    from.frame({ 1: png(red, red) });
    await until('it is being decoded', () => page.evaluate(() => window.slow === 0));
    from.frame({ 1: png(blue, blue) });
    await until('the last', async () => String(await pixel(page, region, 'png', 0)) === String(blue));
    await sleep(2500);
    assert.deepEqual(await pixel(page, region, 'png', 0), blue);
    await close(page);
    await from.end();
  });

  test('all digits of large numbers, and axes for any', async ({ browser, odd }) => {
    const region = name(), from = publish(region, [[1, 'big', 'u64', 2], [2, 'least', 'i64'], [3, 'huge', 'f64']]);
    let n = 0;
    from.every(50, () => ({ 1: new BigUint64Array([2n ** 64n - 1n, 1764565000123456789n]), 2: new BigInt64Array([-(2n ** 63n)]), 3: new Float64Array([1e300 * Math.sin(n++ / 5)]) }));
    const page = await open(browser, odd, link(region, ['table', 'big'], ['plot', 'least'], ['plot', 'huge']), undefined, () => {
      const draw = CanvasRenderingContext2D.prototype.fillText;
      window.drawn = new Set();
      CanvasRenderingContext2D.prototype.fillText = function (text, ...a) { window.drawn.add(text); return draw.call(this, text, ...a); };
    });
    await until('cells', async () => (await cells(page, region, 'big')).length === 2);
    assert.deepEqual(await cells(page, region, 'big'), ['18446744073709551615', '1764565000123456789']);
    await until('a value', async () => /\d/.test(await value(page, region, 'least')));
    assert.equal(await value(page, region, 'least'), '−9223372036854775808');
    assert.equal(await page.locator('#side [data-stream="big"] .value').textContent(), '18446744073709551615 …');
    await sleep(2000);
    assert.ok((await page.evaluate(() => [...window.drawn])).some((t) => /^−?\d+e\+(299|300)$/.test(t)), 'labels');
    await close(page);
    await from.end();
  });

  /** Of the coloured pixels in space: how many, how many colours, and how far apart in shares of the width. */
  const dots = (page, region, stream) => page.locator(`${panel(region, stream)} canvas`).evaluate((from) => {
    const c = document.createElement('canvas');
    [c.width, c.height] = [from.width, from.height];
    const g = c.getContext('2d');
    g.drawImage(from, 0, 0);
    const d = g.getImageData(0, 0, c.width, c.height).data;
    let n = 0, low = 1, high = 0;
    const colours = new Set();
    for (let i = 0; i < d.length; i += 4) {
      if (Math.max(d[i], d[i + 1], d[i + 2]) - Math.min(d[i], d[i + 1], d[i + 2]) < 70) continue;
      n++;
      const x = ((i / 4) % c.width) / c.width;
      [low, high] = [Math.min(low, x), Math.max(high, x)];
      colours.add(`${d[i] >> 4} ${d[i + 1] >> 4} ${d[i + 2] >> 4}`);
    }
    return { n, spread: high - low, colours: colours.size };
  });

  test('points in space: few, small, far away, and without number', async ({ browser, odd }) => {
    const region = name(), points = { role: 'points' };
    const from = publish(region, [[1, 'two', 'f32', 2, 3, points], [2, 'small', 'f32', 400, 3, points], [3, 'far', 'f64', 100, 3, points], [4, 'odd', 'f32', 100, 4, points], [5, 'none', 'f32', 2, 4, points], [6, 'same', 'f32', 2, 4, points], [7, 'poses', 'f64', 2, 7, { role: 'pose' }]]);
    const grid = (size, n, x = 0, y = 0) => Array.from({ length: n * n }, (_, i) => [x + (i % n) * size, y + Math.floor(i / n) * size, 0]).flat();
    from.every(100, {
      1: f32(0, 0, 0, 20, 0, 0), 2: f32(...grid(0.002, 20)), 3: new Float64Array(grid(0.02, 10, 500000, 5400000)),
      4: f32(...Array.from({ length: 100 }, (_, i) => [i % 10, Math.floor(i / 10), 0, i === 50 ? Infinity : i]).flat()),
      5: f32(0, 0, 0, NaN, 1, 1, 1, NaN), 6: f32(0, 0, 0, 5, 1, 1, 1, 5),
      7: new Float64Array([0, 0, 0, 0, 0, 0, 1, 20, 0, 0, 0, 0, 0, 1]),
    });
    for (const [stream, good] of [['two', (d) => d.spread > 0.15], ['poses', (d) => d.spread > 0.15], ['small', (d) => d.spread > 0.3], ['far', (d) => d.spread > 0.3 && d.n > 500], ['odd', (d) => d.colours > 8]]) {
      const page = await open(browser, odd, link(region, ['points', stream]));
      let seen = { n: 0 };
      await until(`dots of ${stream}`, async () => (await page.locator(`${panel(region, stream)} canvas`).count()) && (seen = await dots(page, region, stream)).n > 0);
      await sleep(1000);
      seen = await dots(page, region, stream);
      assert.ok(good(seen), `${stream}: ${JSON.stringify(seen)}`);
      await close(page);
    }
    const page = await open(browser, odd, link(region, ['points', 'none'], ['points', 'same'], ['points', 'odd']));
    const scale = (stream) => page.locator(`${panel(region, stream)} .legend-bar`).evaluate((e) => e.innerText.trim().split(/\s+/).join(' '));
    await until('a legend', async () => (await scale('odd')).includes('99'));
    assert.deepEqual([await scale('same'), await scale('odd')], ['value 5', 'value 0 99']);
    assert.ok(await page.locator(`${panel(region, 'none')} .legend-bar`).isHidden());
    await close(page);
    await from.end();
  });

  test('two streams of one name, and names that are not as they look', async ({ browser, odd }) => {
    const region = name(), evil = '\u202eevil\u0007';
    const from = publish(region, [[5, 'twin', 'f32'], [6, 'twin', 'f32'], [7, evil, 'f32']]).every(50, { 5: f32(5), 6: f32(6), 7: f32(7) });
    const page = await open(browser, odd, link(region, ['plot', '#5'], ['plot', evil]));
    await page.locator('#side [data-stream="#6"]').click();
    await until('both', async () => (await value(page, region, '#5')) === '5' && (await value(page, region, '#6')) === '6');
    await page.locator('#side [data-stream="#5"]').click();
    await page.locator(panel(region, '#5')).waitFor({ state: 'detached' });
    assert.equal(await page.locator('.panel').count(), 2);
    assert.equal(await page.locator('#side li').nth(2).locator('.name').textContent(), '\\u{202e}evil\\u{7}');
    assert.equal(await page.locator('.panel h2 b').nth(0).textContent(), '\\u{202e}evil\\u{7}');
    await close(page);
    await from.end();
  });

  test('the dialog says what cannot be sent, and a banner goes', async ({ browser, odd }) => {
    const region = name(), from = publish(region, [[1, 'a', 'f32']]).every(50, { 1: f32(1) });
    const page = await open(browser, odd, link(region, ['plot', 'a']), undefined, () => {
      const Original = window.WebSocket;
      window.WebSocket = class extends Original { constructor(...a) { super(...a); window.socket = this; } };
    });
    await page.getByRole('button', { name: 'Send…' }).click();
    const send = async (type, kind, text) => {
      await page.getByLabel('type', { exact: true }).fill(type);
      await page.getByLabel('kind of body').selectOption(kind);
      await page.getByLabel('value', { exact: true }).fill(text);
      await page.getByRole('button', { name: 'Send', exact: true }).click();
      await sleep(200);
      return page.locator('.answer').textContent();
    };
    assert.equal(await send('user+1', 'u8', '300'), 'u8 goes from 0 to 255.');
    assert.equal(await send('user+1', 'i64', '9223372036854775808'), 'i64 goes from -9223372036854775808 to 9223372036854775807.');
    assert.equal(await send('user+1', 'i32', '1.5'), '“1.5” is no whole number.');
    assert.equal(await send('user+1', 'f64', '1e999'), '1e999 is too large for f64.');
    assert.equal(await send('user+1', 'f32', '1e39'), '1e39 is too large for f32.');
    assert.match(await send('5', 'f64', '1'), /from 0x3000/);
    assert.ok(await page.locator('.trouble').isHidden());
    await page.keyboard.press('Escape');
    const fail = () => page.evaluate(() => window.socket.onmessage({ data: JSON.stringify({ op: 'failed', id: null, why: 'no' }) }));
    await fail();
    await page.locator('.trouble').click();
    assert.ok(await page.locator('.trouble').isHidden());
    await fail();
    await page.evaluate((region) => window.socket.send(JSON.stringify({ op: 'directory', region })), region);
    await page.locator('.trouble').waitFor({ state: 'hidden' });
    await close(page);
    await from.end();
  });

  test('the space bar pauses whatever was clicked, and a panel waits for its region', async ({ browser, odd }) => {
    const region = name(), late = name(), from = publish(region, [[1, 'a', 'f32']]).every(50, { 1: f32(1) });
    const page = await open(browser, odd, `&region=${region}&panels=plot/${late}/b`);
    await page.getByText(`waiting for ${late}`).waitFor();
    await page.locator('#side [data-stream="a"]').click();
    await page.locator(panel(region, 'a')).waitFor();
    await page.keyboard.press('Space');
    await page.locator('body.paused').waitFor();
    assert.equal(await page.locator(panel(region, 'a')).count(), 1);
    await page.keyboard.press('Space');
    await page.locator('body:not(.paused)').waitFor();
    await page.keyboard.press('Enter');
    await page.locator(panel(region, 'a')).waitFor({ state: 'detached' });
    const other = publish(late, [[1, 'b', 'f32']]).every(50, { 1: f32(3) });
    await until('its value', async () => (await page.locator(`${panel(late, 'b')} .legend .value`).count()) && (await value(page, late, 'b')) === '3');
    assert.equal(await page.locator('.panel.waiting').count(), 0);
    await close(page);
    await Promise.all([from, other].map((f) => f.end()));
  });

  test('a pixel is read as a number, and pictures have tables and legends', async ({ browser, odd }) => {
    const region = name(), image = { role: 'image', shape: [4, 4], encoding: '16UC1', unit: 'mm' };
    const from = publish(region, [[1, 'depth', 'u16', 16, 1, image], [2, 'table', 'f32', 100], [3, 'plot', 'f32', 8]]);
    from.every(100, { 1: new Uint16Array(16).fill(1234), 2: count(100), 3: count(8) });
    const page = await open(browser, odd, link(region, ['image', 'depth'], ['table', 'table'], ['plot', 'plot']));
    await until('a table', async () => (await cells(page, region, 'table')).length === 100);
    await until('a plot', async () => (await legend(page, region, 'plot'))[7] === '7');
    await page.locator(`${panel(region, 'depth')} canvas`).hover();
    await until('the number', async () => /· {2}1234 mm$/.test(await page.locator('.readout').textContent()));
    await page.locator('h1').click();
    const rects = await page.evaluate(() => {
      const [g, ...all] = [...document.querySelectorAll('.grid, .panel .scroll, .legend')].map((e) => e.getBoundingClientRect());
      return all.map((r) => [r.left - g.left, r.top - g.top + 28, r.width, Math.min(r.height, 150)]);
    });
    const [file] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('s')]);
    const data = readFileSync(await file.path()).toString('base64');
    const bright = await page.evaluate(async ([data, rects]) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
      const g = new OffscreenCanvas(image.width, image.height).getContext('2d');
      g.drawImage(image, 0, 0);
      return rects.map(([x, y, w, h]) => g.getImageData(x, y, w, h).data.filter((v, i) => i % 4 === 1 && v > 120).length);
    }, [data, rects]);
    assert.equal(bright.length, 2);
    assert.ok(bright.every((n) => n > 100), JSON.stringify(bright));
    await close(page);
    await from.end();
  });
}
