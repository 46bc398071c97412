// The pictures of docs/live.md, of the made-up robot and of the simulation.

import { launch } from './chrome.mjs';
import { end, endAll, live, pageOf, programs, sleep, start, until } from './programs.mjs';

const out = programs.out;
const scene = start(programs.scene, ['robot', '640', '480', '30'], { stdio: ['ignore', 'ignore', 'inherit'] });
const sim = start(programs.sim, ['galaxies', '--stars', '8000', '--hz', '20', '--skip', '40'], { stdio: 'ignore' });
const browser = await launch();

async function page(server, more, viewport, colorScheme, scale = 1) {
  const context = await pageOf(await browser.newContext({ viewport, colorScheme, deviceScaleFactor: scale }));
  const p = await context.newPage();
  p.setDefaultTimeout(300_000);
  await p.goto(server.link + more);
  await p.locator('.panel').first().waitFor();
  return p;
}

async function shoot(p, name) {
  await p.screenshot({ path: `${out}/${name}.png`, timeout: 300_000 });
  await p.context().close();
}

/** Long enough for lines in the plots. */
async function settle(p, ms = 12000) {
  await until('frames', async () => Number(await p.locator('.scrub').getAttribute('max')) > 20);
  await sleep(ms);
}

try {
  const server = await live(['robot-*', 'galaxies'], '--control');
  const wide = { width: 1440, height: 900 };
  const robot = '&region=robot-base&panels=image/robot-camera/camera/wide|points/robot-base/lidar|plot/robot-base/gyro|image/robot-camera/depth|array/robot-base/spectrum|plot/robot-base/battery|points/robot-base/trajectory|plot/robot-camera/exposure';
  const dark = await page(server, robot, wide, 'dark');
  await settle(dark);
  await shoot(dark, 'live');

  const stars = '&region=galaxies&panels=points/galaxies/position/wide|plot/galaxies/energy|plot/galaxies/compute_ms|plot/galaxies/gravity|array/galaxies/velocity|table/galaxies/position&details=0&window=10';
  const light = await page(server, stars, wide, 'light');
  await settle(light);
  await light.keyboard.press('Space');
  await light.keyboard.press('Shift+ArrowLeft');
  await light.keyboard.press('Shift+ArrowLeft');
  await light.keyboard.press('Shift+ArrowLeft');
  await light.locator('.panel').nth(1).hover();
  await sleep(1500);
  await shoot(light, 'live-light');

  const phone = await page(server, '&region=robot-camera&panels=image/robot-camera/camera|plot/robot-base/gyro|points/robot-base/lidar', { width: 390, height: 844 }, 'dark', 1.5);
  await settle(phone, 6000);
  await phone.locator('main').evaluate((m) => m.scrollTo(0, 150));
  await sleep(500);
  await shoot(phone, 'live-phone');
} finally {
  await browser.close();
  await Promise.all([scene, sim].map(end));
  await endAll();
}
