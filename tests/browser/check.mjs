// Opens reports in headless Chromium: accessibility (axe-core), console errors, width, zoom, print.
//
//   npm install playwright-core axe-core
//   node tests/browser/check.mjs REPORT.html…        CHROMIUM=/usr/bin/chromium by default
//
// Run by hand after a change to the report; cargo tests do not need a browser. Exit code 1 on any finding.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
const require = createRequire(resolve("package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
let findings = 0;
const found = (what) => { findings += 1; console.log("  " + what); };
for (const file of process.argv.slice(2)) {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      console.log(`${file}: ${colorScheme}, ${width} px`);
      // The page forbids foreign scripts; axe is one.
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 }, bypassCSP: true });
      const page = await context.newPage();
      page.on("console", (message) => found("console: " + message.text()));
      page.on("pageerror", (error) => found("script: " + error));
      await page.goto("file://" + resolve(file));
      await page.evaluate(axe);
      const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
      const { violations } = await page.evaluate((values) => axe.run(document, { runOnly: { type: "tag", values } }), tags);
      for (const violation of violations) found(`axe ${violation.id}: ${violation.help} (${violation.nodes.length})`);
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (beyond > 0) found(`the page is ${beyond} px wider than the screen`);
      const plot = page.locator("figure[data-along=time] .plot").first();
      // The page of the GPU suite runs no script.
      if (await plot.count() && await page.locator("body > script").count()) {
        await plot.focus();
        await page.keyboard.press("ArrowRight");
        await page.keyboard.press("+");
        if (await page.locator("#zoom").isHidden()) found("the keyboard does not enlarge");
        await page.keyboard.press("Escape");
        if (!(await page.locator("#zoom").isHidden())) found("escape does not show the whole run");
        const box = await plot.boundingBox();
        await page.mouse.move(box.x + box.width * 0.3, box.y + 20);
        await page.mouse.down();
        await page.mouse.move(box.x + box.width * 0.6, box.y + 20, { steps: 4 });
        await page.mouse.up();
        if (await page.locator("#zoom").isHidden()) found("dragging does not enlarge");
      }
      await context.close();
    }
  }
}
await browser.close();
console.log(findings ? `${findings} findings` : "no findings");
process.exitCode = findings ? 1 : 0;
