// A person signs in: discovery, code with PKCE, every way an app proves who it is.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { everyArgument } from "./person.mjs";
import { PERSON, SECRET } from "./provider.mjs";
import { ANY_PORT, app, freeRedirect, person, stage } from "./stage.mjs";

const FOLDER = /^Leven Estuary Crossing {2}/m;

test("a native app signs in on any free port, and its token opens the gateway", async () => {
  const { provider, gateway } = await stage();
  const me = person();
  await provider.app("native", "none", ANY_PORT);
  const end = await me.login(app(provider, "native"));
  assert.equal(end.code, 0, end.stderr);
  const asked = new URL(end.address).searchParams;
  assert.equal(asked.get("code_challenge_method"), "S256");
  assert.equal(asked.get("scope"), "projectwise:read offline_access");
  assert.match(end.page.text, /Signed in/);
  assert.deepEqual(provider.state.asked.map(({ grant, how, status }) => [grant, how, status]),
    [["authorization_code", "none", 200]]);
  assert.match(await me.succeeds(["folders", "--datasource", gateway.datasource]), FOLDER);
  assert.equal(gateway.seen.refused, 0);
});

for (const [name, authMethods, how] of [
  ["in the body where the provider takes it nowhere else", ["client_secret_post"], "post"],
  ["in a header where the provider takes it nowhere else", ["client_secret_basic"], "basic"],
  ["in the body where the provider takes both", ["client_secret_basic", "client_secret_post"], "post"],
]) {
  test(`a web app sends its secret ${name}`, async () => {
    const { provider, gateway } = await stage({ authMethods, jwt: true });
    const me = person();
    const redirect = await freeRedirect();
    await provider.app("web", authMethods.at(-1), redirect);
    const end = await me.login([...app(provider, "web", redirect), "--client-secret-file", me.write("secret", SECRET)]);
    assert.equal(end.code, 0, end.stderr);
    assert.match(end.stdout, new RegExp(`^Signed in as ${PERSON.name} <${PERSON.email}>`));
    assert.match(await me.succeeds(["folders", "--datasource", gateway.datasource]), FOLDER);
    // A refresh and the end of the login prove who asks in the same way.
    provider.state.lifetime = 1;
    await me.login(["--client-secret-file", "secret"]);
    await new Promise((later) => setTimeout(later, 2000));
    provider.state.lifetime = 3600;
    assert.match(await me.succeeds(["folders", "--datasource", gateway.datasource]), FOLDER);
    assert.equal(await me.succeeds(["logout"]), "signed out, at the identity provider too\n");
    assert.deepEqual(provider.state.asked.map(({ path, grant, how, status }) => [grant ?? path, how, status]), [
      ["authorization_code", how, 200], ["authorization_code", how, 200], ["refresh_token", how, 200],
      ["/token/revocation", how, 200],
    ]);
  });
}

test("an app gets a refresh token from a provider that wants it consented to", async () => {
  const { provider, gateway } = await stage({ strict: true });
  const me = person();
  await provider.app("native", "none", ANY_PORT);
  const end = await me.login(app(provider, "native"));
  assert.equal(end.code, 0, end.stderr);
  assert.equal(new URL(end.address).searchParams.get("prompt"), "consent");
  assert.equal(JSON.parse(await me.succeeds(["whoami", "--json"])).renews, true);
  provider.endAccessTokens();
  assert.match(await me.succeeds(["folders", "--datasource", gateway.datasource]), FOLDER);
});

test("the secret is in no argument, no output and no file beside the login", async () => {
  const { provider } = await stage();
  const me = person();
  const redirect = await freeRedirect();
  await provider.app("web", "client_secret_post", redirect);
  const login = await me.beginLogin([...app(provider, "web", redirect), "--log-level", "trace"],
    { PWFS_CLIENT_SECRET: SECRET });
  const during = everyArgument();
  assert.match(during, /--no-browser/);
  await me.browser.visit(login.address);
  const end = await login.ended;
  assert.equal(end.code, 0, end.stderr);
  const config = readFileSync(join(me.home, ".config/pwfs/config.toml"), "utf8");
  for (const form of [SECRET, encodeURIComponent(SECRET), new URLSearchParams({ s: SECRET }).toString().slice(2)]) {
    for (const text of [during, end.stdout, end.stderr, config]) assert.ok(!text.includes(form));
  }
  assert.equal(me.stored().client_secret, SECRET);
});
