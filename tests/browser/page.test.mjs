// A real browser over the page of `pwfs tree --format html`: of hostile names, and of a hundred thousand documents.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const PWFS = resolve(process.env.PWFS ?? "../../target/debug/pwfs");
/** Where pictures are put, for people to look at; none without it. */
const PICTURES = process.env.PICTURES && resolve(process.env.PICTURES);
/** Milliseconds. */
const PATIENCE = 240_000;
/** A page of everything is to be there, and to answer, in so many. */
const SOON = 20_000;

if (PICTURES) mkdirSync(PICTURES, { recursive: true });
const closing = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
closing.push(() => browser.close());

/** A simulator of some world; returns its admin address and the page of everything in it. */
async function pageOf(world, changes = async () => {}) {
  const home = mkdtempSync(join(tmpdir(), "pwfs-page-"));
  closing.push(() => rmSync(home, { recursive: true, force: true }));
  const simulator = spawn(PWFS, ["simulate", "--port", "0", "--json", "--auto-consent", ...world],
    { stdio: ["ignore", "pipe", "inherit"] });
  closing.push(() => simulator.kill());
  const lines = createInterface({ input: simulator.stdout })[Symbol.asyncIterator]();
  const report = JSON.parse((await lines.next()).value);
  await changes(report);
  const service = report.apps.find((app) => app.kind === "service");
  const secret = join(home, "secret");
  writeFileSync(secret, service.client_secret);
  const run = (args) => promisify(execFile)(PWFS, args,
    { env: { PATH: process.env.PATH, HOME: home }, maxBuffer: 1 << 28, timeout: PATIENCE });
  await run(["login", "--service", "--issuer", report.issuer, "--client-id", service.client_id,
    "--client-secret-file", secret, "--datasource", report.datasource]);
  const { stdout } = await run(["tree", "--format", "html"]);
  const file = join(home, "tree.html");
  writeFileSync(file, stdout);
  return { file, html: stdout };
}

/** Opens a page; whatever it says, asks for or complains of is kept. */
async function open(file) {
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("dialog", (dialog) => { said.push(dialog.message()); dialog.dismiss(); });
  page.on("request", (request) => { if (!request.url().startsWith("file:")) said.push(request.url()); });
  await page.goto("file://" + file);
  return { page, said };
}

/** Unfolds everything, level by level. */
async function unfold(page) {
  for (let closed = 1; closed > 0;) {
    closed = await page.evaluate(() => {
      const folded = [...document.querySelectorAll("#tree details:not([open])")];
      for (const folder of folded) folder.open = true;
      return folded.length;
    });
    await page.waitForTimeout(50);
  }
}

test("hostile names are text, whatever they say", { timeout: PATIENCE }, async () => {
  const names = ["<script>alert(1)</script>.txt", "<img src=x onerror=alert(2)>.txt", "\u001b]0;escape\u0007.txt",
    "right to left \u202etxt.exe", "</script><b>end.txt"];
  const { file, html } = await pageOf(["--world", "awkward"], async (report) => {
    const ask = async (what, fields) => {
      const answer = await fetch(`${report.admin}/${what}`, { method: "POST", body: JSON.stringify(fields) });
      assert.ok(answer.ok, await answer.text());
    };
    await ask("add-folder", { name: "Hostile <b>" });
    for (const name of names) await ask("add-document", { folder: "Hostile <b>", name, text: "text" });
  });
  const markup = html.split('id="data">')[0] + html.split('id="data">')[1].split("</script>").slice(1).join("");
  assert.ok(!markup.includes("\u202e"), "nothing but the data turns text around");
  const { page, said } = await open(file);
  await unfold(page);
  const data = JSON.parse(html.split('id="data">')[1].split("</script>")[0]);
  const shown = await page.locator("#tree .document").count();
  // Of a folder of a hundred thousand the first ones, and a button for more.
  const documents = data.folders.reduce((sum, folder) => sum + Math.min(folder.docs.length, 500), 0);
  assert.equal(shown, documents, "every document has a row");
  assert.ok(await page.locator("#tree button").count() > 0);
  assert.equal(await page.locator("#tree details").count(), data.folders.length, "every folder has a row");
  assert.equal(await page.locator("#tree script, #tree img, #tree a, #tree iframe").count(), 0);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "awkward.png"), fullPage: true });
  // Whatever is searched for is found, with the way to it.
  await page.fill("#search", "<script");
  await page.waitForFunction(() => document.getElementById("count").textContent.startsWith("1 "));
  assert.ok((await page.locator("#tree").textContent()).includes("<script>alert(1)"), "it is told as it is");
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "search.png") });
  await page.click("#fold");
  await page.click("#troubles");
  assert.deepEqual(said, []);
});

test("a hundred thousand documents stay usable", { timeout: PATIENCE }, async () => {
  const { file } = await pageOf(["--world", "scale", "--documents", "100000", "--folders", "2000"]);
  const begun = Date.now();
  const { page, said } = await open(file);
  await page.waitForSelector("#tree details");
  const opened = Date.now() - begun;
  await page.locator("#tree details").first().evaluate((folder) => { folder.open = true; });
  await page.waitForFunction(() => document.querySelectorAll("#tree details > div").length > 0);
  const typed = Date.now();
  await page.fill("#search", "9");
  await page.waitForFunction(() => document.getElementById("count").textContent.includes("300"));
  const found = Date.now() - typed;
  console.log(`opened in ${opened} ms, searched in ${found} ms`);
  assert.ok(opened < SOON && found < SOON, `${opened} ms, ${found} ms`);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "scale.png") });
  assert.deepEqual(said, []);
});
