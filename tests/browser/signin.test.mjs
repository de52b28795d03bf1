// A real browser: from the address pwfs prints, over the simulator's pages, to the last page of pwfs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { chromium } from "playwright-core";

const PWFS = resolve(process.env.PWFS ?? "../../target/debug/pwfs");
/** Where pictures of every page are put, for people to look at; none without it. */
const PICTURES = process.env.PICTURES && resolve(process.env.PICTURES);
/** Milliseconds. */
const PATIENCE = 60_000;
/** Whatever a one-time code or a refusal comes back in. */
const ANSWER = /[?&](code|error|state)=/;

if (PICTURES) mkdirSync(PICTURES, { recursive: true });
const closing = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

// Any port of this machine may be returned to: others may use the usual one meanwhile.
const simulator = spawn(PWFS, ["simulate", "--port", "0", "--redirect-match", "loopback-port", "--json"],
  { stdio: ["ignore", "pipe", "inherit"] });
closing.push(() => simulator.kill());
const lines = createInterface({ input: simulator.stdout })[Symbol.asyncIterator]();
const report = JSON.parse((await lines.next()).value);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run"],
});
closing.push(() => browser.close());

/** A login that waits for a browser. */
async function login() {
  const home = mkdtempSync(join(tmpdir(), "pwfs-browser-"));
  const app = report.apps.find((one) => one.kind === "native");
  const child = spawn(PWFS, ["login", "--no-browser", "--credentials", "file", "--issuer", report.issuer,
    "--client-id", app.client_id, "--redirect-uri", "http://localhost:0/signin-callback"],
  { env: { PATH: process.env.PATH, HOME: home }, stdio: ["ignore", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => { said[name] += text; });
  const ended = new Promise((done) => child.on("close", (code) => done({ code, ...said })));
  closing.push(() => {
    child.kill();
    rmSync(home, { recursive: true });
  });
  /** The nth address to open. */
  const address = async (nth = 1) => {
    for (const end = Date.now() + PATIENCE; Date.now() < end;) {
      const found = [...said.stderr.matchAll(/^ *(http\S+)$/gm)];
      if (found.length >= nth) return found[nth - 1][1];
      await Promise.race([ended, new Promise((seen) => child.stderr.once("data", seen))]);
      assert.equal(child.exitCode, null, JSON.stringify(said));
    }
    throw new Error(`no address: ${JSON.stringify(said)}`);
  };
  return { address, ended };
}

/** A window, with all it complains of and asks for. */
async function openWindow(name, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const seen = { complaints: [], requests: [] };
  page.on("console", (message) => seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("request", (request) => seen.requests.push(request.url()));
  let pictures = 0;
  return {
    page, seen,
    /** Looks at the page: nothing is cut off, and there is a picture of it for people. */
    async look(what) {
      const [content, width] = await page.evaluate(() =>
        [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(content <= width, `${what} is ${content} wide in a window of ${width}`);
      pictures += 1;
      if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}-${pictures}-${what}.png`), fullPage: true });
    },
    /** Every address the back and forward buttons lead to. */
    async history() {
      const session = await context.newCDPSession(page);
      const { entries } = await session.send("Page.getNavigationHistory");
      return entries.map((entry) => entry.url);
    },
  };
}

/** What must hold of a last page, whatever it says. */
async function isLastPage({ page, seen, history }, title) {
  assert.equal(await page.title(), `${title} – pwfs`);
  assert.equal(await page.textContent("h1"), title);
  assert.match(page.url(), /^http:\/\/localhost:\d+\/signin-callback$/);
  const visited = (await history()).map((url) => new URL(url)).filter((url) => url.pathname === "/signin-callback");
  assert.deepEqual(visited.map((url) => url.search), [""], "the way back leads to no code");
  assert.ok(!ANSWER.test(await page.content()));
  // The page itself, and nothing that it would load.
  assert.match(seen.requests.at(-1), /^http:\/\/localhost:\d+\/signin-callback\?/);
  assert.equal(seen.requests.filter((url) => url.startsWith(new URL(page.url()).origin)).length, 1);
  assert.deepEqual(seen.complaints, [], "its policy lets its own style and script through");
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).display), "block", "it has its style");
}

const status = async (address) => (await fetch(address)).status;
const SIZES = [
  ["wide", { viewport: { width: 1280, height: 800 }, colorScheme: "light" }],
  ["dark", { viewport: { width: 1280, height: 800 }, colorScheme: "dark" }],
  ["narrow", { viewport: { width: 400, height: 800 }, colorScheme: "light" }],
  ["narrow-dark", { viewport: { width: 400, height: 800 }, colorScheme: "dark" }],
];

for (const [at, [name, options]] of SIZES.entries()) {
  test(`a person signs in, at first with a wrong password (${name})`, async () => {
    const window = await openWindow(name, options);
    const { page } = window;
    const person = report.people[at];
    const waiting = await login();
    const address = await waiting.address();
    const callback = new URL(address).searchParams.get("redirect_uri");
    assert.equal(await status(`${callback}?code=guessed&state=guessed`), 404);

    await page.goto(address);
    await window.look("sign-in");
    await page.fill("[name=email]", person.email);
    await page.fill("[name=password]", "wrong");
    await page.press("[name=password]", "Enter");
    await page.waitForSelector("[role=alert]");
    await window.look("wrong-password");
    await page.fill("[name=password]", person.password);
    await page.press("[name=password]", "Enter");
    await page.waitForSelector("button[value=allow]");
    assert.ok((await page.textContent("main")).includes(person.email));
    await window.look("consent");
    await page.click("button[value=allow]");
    await page.waitForURL(/signin-callback/);
    await window.look("last");
    await isLastPage(window, "Signed in");

    const end = await waiting.ended;
    assert.equal(end.code, 0, end.stderr);
    assert.ok(end.stdout.includes(person.email), end.stdout);
    await assert.rejects(status(window.seen.requests.at(-1)), "nobody listens any more");
    // To the consent page, which asks whether to send its form again.
    await page.goBack().catch(() => {});
    assert.ok(!/signin-callback\?/.test(page.url()), page.url());
    await page.close();
  });

  test(`a person cancels, and both the page and the terminal say so (${name})`, async () => {
    const window = await openWindow(`${name}-cancelled`, options);
    const { page } = window;
    const waiting = await login();
    await page.goto(await waiting.address());
    await page.click("button[value=deny]");
    await page.waitForURL(/signin-callback/);
    await window.look("last");
    await isLastPage(window, "Not signed in");
    const end = await waiting.ended;
    assert.equal(end.code, 77, end.stderr);
    assert.match(end.stderr, /access_denied/);
    await page.close();
  });
}

test("a callback that was used is not found while the login still waits", async () => {
  const window = await openWindow("again", SIZES[0][1]);
  const { page } = window;
  const waiting = await login();
  const first = new URL(await waiting.address());
  // As a provider refuses offline_access, which has the login begin again on the same port.
  const back = new URL(first.searchParams.get("redirect_uri"));
  back.search = new URLSearchParams({ error: "invalid_scope", state: first.searchParams.get("state") });
  await page.goto(back.href);
  await isLastPage(window, "Not signed in");
  const second = await waiting.address(2);
  assert.equal(await status(back.href), 404);
  await page.goto(second);
  await page.click("button[value=deny]");
  assert.equal((await waiting.ended).code, 77);
  await page.close();
});

test("an error page of the identity service, and the end of a session", async () => {
  for (const [name, options] of SIZES) {
    const window = await openWindow(name, options);
    await window.page.goto(`${report.issuer}/connect/authorize?client_id=nobody`);
    await window.look("error");
    await window.page.goto(`${report.issuer}/connect/endsession`);
    await window.look("signed-out");
    await window.page.close();
  }
});
