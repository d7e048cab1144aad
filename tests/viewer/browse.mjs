// Chromium with the viewer or the console in it, for browser.py: one JSON command a line in, one JSON answer a line out.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const PATIENCE_MS = 240_000;
const FLAGS = [
  '--no-sandbox', // root may not run it otherwise, and the pages are ours
  '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', // WebGL without a graphics card
  '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const SERIES = '[data-cy="series-description-label"]';
const CANVAS = '[data-cy="viewport-pane"] canvas';
const CORNERS = ['top-left', 'top-right', 'bottom-left', 'bottom-right'];

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS });
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
page.setDefaultTimeout(PATIENCE_MS);
// the tour of a first visit would lie over the picture; the frame that shows a PDF has no storage
await page.addInitScript(() => localStorage?.setItem('shownTours', '["basicViewerTour"]'));
let errors = [];
page.on('pageerror', error => errors.push(String(error)));
page.on('response', answer => answer.status() >= 400 && errors.push(`${answer.status()} ${answer.url()}`));

/** Whether a canvas shows anything but black; in the page. */
function drawn(selector) {
  const canvas = document.querySelector(selector);
  if (!canvas?.width) return false;
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.some((value, index) => index % 4 < 3 && value > 0);
}

/** Where to look: a region by its heading, or the whole page. */
const within = region => (region ? page.getByRole('region', { name: region, exact: true }) : page.locator('body'));

const verbs = {
  /** The viewer with one study; answers when `count` series are listed and the first picture is drawn. */
  async open({ url, count }) {
    errors = [];
    await page.goto(url);
    await page.locator(SERIES).nth(count - 1).waitFor();
    await page.waitForFunction(drawn, CANVAS); // sooner, the first series would come over one that is asked for
    return page.locator(SERIES).allTextContents();
  },
  /** Put a series into the viewport; answers when `sign` (a CSS selector, with `text` in it) is there. */
  async show({ series, sign, text }) {
    await page.locator(SERIES).getByText(series, { exact: true }).dblclick();
    await page.locator(sign).filter({ hasText: text }).first().waitFor({ state: 'attached' });
  },
  async press({ key }) {
    await page.locator('[data-cy="viewport-pane"]').hover();
    await page.keyboard.press(key);
  },
  /** What the viewport says and draws over the picture; points and sizes in its own CSS pixels. */
  read() {
    return page.evaluate(corners => {
      const pane = document.querySelector('[data-cy="viewport-pane"]');
      const layer = pane.querySelector('svg.svg-layer');
      const box = (layer ?? pane).getBoundingClientRect();
      const said = name => pane.querySelector(`[data-cy="viewport-overlay-${name}"]`)?.innerText ?? '';
      return {
        box: [box.x, box.y, box.width, box.height],
        corners: Object.fromEntries(corners.map(name => [name, said(name)])),
        labels: [...pane.querySelectorAll('svg.svg-layer tspan')].map(line => line.textContent),
        outlines: [...pane.querySelectorAll('svg.svg-layer polyline')].map(line =>
          line.getAttribute('points').trim().split(' ').map(Number.parseFloat)),
        text: pane.innerText,
      };
    }, CORNERS);
  },
  /** The document that the viewport shows, base64. */
  document() {
    return page.evaluate(async () => {
      const address = document.querySelector('[data-cy="viewport-pane"] object').data;
      const bytes = new Uint8Array(await (await fetch(address)).arrayBuffer());
      return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
    });
  },
  async picture({ path }) {
    await page.screenshot({ path });
  },
  // The console: driven as a person does, by what stands on the page
  async visit({ url }) {
    await page.goto(url);
  },
  async fill({ region, label, text }) {
    await within(region).getByLabel(label, { exact: true }).fill(text);
  },
  async click({ region, role, name }) {
    await within(region).getByRole(role, { name, exact: true }).first().click();
  },
  /** The words of the first element of a CSS selector that has `text` in it, once it is there. */
  async see({ selector, text }) {
    const found = page.locator(selector).filter({ hasText: text }).first();
    await found.waitFor();
    return found.textContent();
  },
  async reload() {
    await page.reload();
  },
  async choose({ region, label, option }) {
    await within(region).getByRole('combobox', { name: label }).selectOption({ label: option }); // its label has the options in it
  },
  /** A box or a radio button. */
  async tick({ region, label }) {
    await within(region).getByLabel(label, { exact: true }).first().check();
  },
  async unfold({ region, summary }) {
    await within(region).locator('summary', { hasText: summary }).click();
  },
  async attach({ selector, path }) {
    await page.locator(selector).setInputFiles(path);
  },
  count: ({ selector }) => page.locator(selector).count(),
  address: () => page.url(),
  attribute: ({ selector, name }) => page.locator(selector).first().getAttribute(name),
  async resize({ width, height }) {
    await page.setViewportSize({ width, height });
  },
  /** By how many pixels the page is wider than the window, and what sticks out. */
  overflow() {
    return page.evaluate(() => {
      const wide = document.documentElement.scrollWidth - innerWidth;
      const out = [...document.body.querySelectorAll('*')].filter(one => one.getBoundingClientRect().right > innerWidth + 1);
      return wide > 0 ? out.slice(0, 5).map(one => one.outerHTML.slice(0, 120)) : [];
    });
  },
  /** What can be used and is not reached with the Tab key, or does not show that it was. */
  async unreached() {
    const count = await page.evaluate(() => {
      const usable = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
      const groups = new Set();
      globalThis.left = new Set([...document.querySelectorAll(usable)].filter(one => {
        if (!one.checkVisibility({ visibilityProperty: true }) || one.disabled) return false;
        if (one.type !== 'radio') return true;
        return one.checked || (!groups.has(one.name) && groups.add(one.name));
      }));
      globalThis.bare = [];
      return globalThis.left.size;
    });
    for (let press = 0; press < 4 * count + 8; press += 1) {
      await page.keyboard.press('Tab');
      const done = await page.evaluate(() => {
        const at = document.activeElement;
        if (globalThis.left.delete(at)) {
          const style = getComputedStyle(at);
          if (style.outlineStyle === 'none' && style.boxShadow === 'none') globalThis.bare.push(at.outerHTML.slice(0, 120));
        }
        // a part that renewed itself has other elements now
        return [...globalThis.left].every(one => !one.isConnected);
      });
      if (done) break;
    }
    return page.evaluate(() => [...[...globalThis.left].filter(one => one.isConnected).map(one => `not reached: ${one.outerHTML.slice(0, 120)}`),
      ...globalThis.bare.map(one => `not seen: ${one}`)]);
  },
  async colours({ scheme }) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' }); // no colour half way to another
  },
  async keep({ path }) {
    await page.screenshot({ path, fullPage: true, animations: 'disabled' });
  },
  /** What axe-core finds that keeps somebody out: rule, and where. */
  async faults() {
    await page.evaluate(await readFile(AXE, 'utf8')); // not a script of the page: its policy allows none from elsewhere
    const found = await page.evaluate(() => globalThis.axe.run({ resultTypes: ['violations'] }));
    return found.violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(' ')}`));
  },
  errors: () => errors,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { verb, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await verbs[verb](given)) ?? null };
  } catch (error) {
    const path = `${process.argv[3]}/failed.png`;
    await page.screenshot({ path });
    answer = { error: `${verb}: ${error}; seen: ${path}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
