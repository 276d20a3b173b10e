// node browser.js PAGE CHROMIUM: what only a browser shows. Run by ci/page.sh, which brings the packages.
"use strict";
const fs = require("fs");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [page, executablePath] = process.argv.slice(2);
const address = `file://${fs.realpathSync(page)}`;
let failures = 0;
const check = (right, what) => {
  if (right) return;
  failures += 1;
  console.log(`FAILED: ${what}`);
};

async function look(browser, colorScheme, width) {
  const where = `${colorScheme}, ${width} pixels`;
  const tab = await browser.newPage({ viewport: { width, height: 844 }, colorScheme });
  tab.on("pageerror", (error) => check(false, `${where}: ${error}`));
  await tab.goto(address);
  await tab.evaluate(axe);
  const accessible = async (when) => {
    const { violations } = await tab.evaluate(() => globalThis.axe.run());
    for (const { id, nodes } of violations) check(false, `${where}, ${when}: ${id}: ${nodes[0].html}`);
  };
  const box = (name) => tab.locator("label.flag", { hasText: name }).first().locator("input");
  const text = (id) => tab.textContent(`#${id}`);
  await accessible("at the start");

  await box("CLONE_NEWNET").click();
  const verdict = await tab.locator("#verdict").boundingBox();
  check(verdict && verdict.y >= 0 && verdict.y + verdict.height < 844, `${where}: the verdict is out of sight`);
  check((await text("verdict")).includes("Rule F1"), `${where}: the verdict is ${await text("verdict")}`);
  await tab.selectOption("#other", "fork");
  await tab.click("summary");
  await accessible("refused, beside fork, with all facts");
  const sideways = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(sideways <= 0, `${where}: it scrolls sideways by ${sideways} pixels`);
  for (const id of ["c", "rust", "prove"]) {
    const clipped = await tab.evaluate((code) => {
      const block = document.getElementById(code).parentElement;
      return block.scrollWidth - block.clientWidth;
    }, id);
    check(clipped <= 0, `${where}: ${id} is clipped by ${clipped} pixels`);
  }
  const hash = await tab.evaluate(() => location.hash);
  const again = await browser.newPage();
  await again.goto(address + hash);
  check(await again.evaluate(() => location.hash) === hash, `${where}: ${hash} does not come back`);
  await again.close();

  await tab.click("#tasks button:nth-child(1)");
  for (const name of ["CLONE_VM", "CLONE_SIGHAND", "CLONE_THREAD"]) await box(name).click();
  check((await text("done")).startsWith("A thread"), `${where}: no thread`);
  await tab.click("#tasks button:nth-child(2)");
  await box("CLONE_THREAD").click();
  await tab.selectOption("#signal", "17");
  for (const name of ["CLONE_SIGHAND", "CLONE_VM"]) await box(name).click();
  check((await text("done")).startsWith("A process"), `${where}: no process`);
  await tab.click("#tasks button:nth-child(3)");
  for (const name of ["CLONE_NEWUSER", "CLONE_NEWPID", "CLONE_NEWNS", "CLONE_NEWNET"]) await box(name).click();
  check((await text("done")).startsWith("A container"), `${where}: no container`);
  await tab.close();
}

(async () => {
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"];
  const browser = await chromium.launch({ executablePath, args: quiet });
  for (const scheme of ["light", "dark"]) for (const width of [390, 1280]) await look(browser, scheme, width);
  await browser.close();
  console.log(failures ? `${failures} failures` : "the page is as it should be in the browser");
  process.exit(failures ? 1 : 0);
})();
