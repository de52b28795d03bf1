// A login that is refused: by the person, for its scopes, for its address.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY_PORT, app, person, stage } from "./stage.mjs";

const PORTAL = /https:\/\/developer\.bentley\.com\/my-apps\//;

test("a person who says no is told what was refused", async () => {
  const { provider } = await stage();
  const me = person();
  await provider.app("native", "none", ANY_PORT);
  provider.state.consents = false;
  const end = await me.login(app(provider, "native"));
  assert.equal(end.code, 77, end.stderr);
  assert.match(end.stderr, /^Error: .*access_denied: the person said no/m);
  assert.match(end.page.text, /Not signed in/);
});

test("an app without offline_access is asked again without it, and the person is told", async () => {
  const { provider, gateway } = await stage({ strict: true });
  const me = person();
  await provider.app("native", "none", ANY_PORT, { scope: "projectwise:read" });
  const login = await me.beginLogin(app(provider, "native"));
  await me.browser.visit(login.address);
  const [, second] = await login.hears(/about an hour[^]*?^ *(http\S+)$/m);
  assert.equal(new URL(second).searchParams.get("scope"), "projectwise:read");
  await me.browser.visit(second);
  const end = await login.ended;
  assert.equal(end.code, 0, end.stderr);
  assert.match(end.stderr, /got no refresh token/);
  await me.succeeds(["folders", "--datasource", gateway.datasource]);
});

test("an app without the scope is told which scopes and where to enable them", async () => {
  const { provider } = await stage();
  const me = person();
  await provider.app("native", "none", ANY_PORT, { scope: "openid offline_access" });
  const login = await me.beginLogin(app(provider, "native"));
  await me.browser.visit(login.address);
  const [, second] = await login.hears(/about an hour[^]*?^ *(http\S+)$/m);
  const page = await me.browser.visit(second);
  assert.match(page.text, /Not signed in/);
  const end = await login.ended;
  assert.equal(end.code, 77, end.stderr);
  assert.match(end.stderr, /scopes "projectwise:read"/);
  assert.match(end.stderr, PORTAL);
});

test("whoever is left on the provider's error page finds what to register in the terminal", async () => {
  const { provider } = await stage();
  const me = person();
  await provider.app("native", "none", "http://localhost:0/another-path");
  const login = await me.beginLogin(app(provider, "native"));
  const page = await me.browser.visit(login.address);
  assert.equal(page.status, 400);
  assert.match(page.text, /redirect_uri/);
  assert.equal(page.way.length, 1, "nothing comes back");
  const redirect = new URL(login.address).searchParams.get("redirect_uri");
  // It goes on waiting: an error page is nothing a program can see.
  assert.equal(login.said.code, null);
  assert.ok(login.said.stderr.replace(login.address, "").includes(redirect), login.said.stderr);
  login.child.kill("SIGINT");
  await login.ended;
});

test("an address that is no provider is named", async () => {
  const { provider } = await stage();
  const me = person();
  const end = await me.run(["login", "--no-browser", "--credentials", "file", "--client-id", "native", "--issuer",
    `${provider.issuer}/elsewhere`]);
  assert.equal(end.code, 1);
  assert.match(end.stderr, /elsewhere\/\.well-known\/openid-configuration.*404/);
  assert.match(end.stderr, /issuer/);
});
