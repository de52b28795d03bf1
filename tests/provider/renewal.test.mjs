// A login lives on: refreshed when due, rotated by many processes at once, healed or ended when the provider says so.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { SECRET } from "./provider.mjs";
import { app, freeRedirect, person, signedIn, stage } from "./stage.mjs";

const refreshes = (provider, client) =>
  provider.state.asked.filter((one) => one.grant === "refresh_token" && one.client === client);

/** Nobody used a refresh token twice, and the one that is good is the one that is kept. */
async function oneGoodRefreshToken(provider, client, somebody) {
  assert.deepEqual(provider.state.asked.filter((one) => one.status !== 200), []);
  assert.deepEqual(provider.liveRefreshTokens(client), [somebody.stored().refresh_token]);
  assert.equal((await provider.introspect(somebody.stored().refresh_token)).active, true);
}

test("a token that is due is renewed before it ends, once for processes that start together", async () => {
  const here = await stage();
  const { provider, gateway } = here;
  // Due after four fifths of it: the shortest life that is not taken for a clock gone wrong, with time to act.
  provider.state.lifetime = 40;
  const names = ["anna", "bert", "cora", "dora"];
  const people = await Promise.all(names.map((name) => signedIn(here, name)));
  const first = people.map((one) => one.stored());
  await sleep(Math.max(...first.map((one) => Date.parse(one.obtained_at))) + 33_000 - Date.now());
  provider.state.lifetime = 3600;
  for (const [at, name] of names.entries()) {
    const together = [1, 2, 3].map(() => people[at].succeeds(["folders", "--datasource", gateway.datasource]));
    await Promise.all(together);
    assert.equal(refreshes(provider, name).length, 1);
    assert.notEqual(people[at].stored().refresh_token, first[at].refresh_token);
    await oneGoodRefreshToken(provider, name, people[at]);
  }
  assert.equal(gateway.seen.refused, 0, "no request carried a token that had ended");
});

test("two processes that find the token ended, again and again, never use a refresh token twice", async () => {
  const here = await stage();
  const { provider, gateway } = here;
  const me = await signedIn(here, "native");
  const both = () => Promise.all([1, 2].map(() => me.succeeds(["folders", "--datasource", gateway.datasource])));
  const rounds = 15;
  for (let round = 1; round <= rounds; round += 1) {
    provider.endAccessTokens();
    await both();
    assert.equal(refreshes(provider, "native").length, round);
  }
  // The same by the clock: each token ends within seconds.
  provider.state.lifetime = 6;
  provider.endAccessTokens();
  for (let round = 1; round <= 4; round += 1) {
    await both();
    while ((await provider.introspect(me.stored().access_token)).active) await sleep(200);
  }
  provider.state.lifetime = 3600;
  await both();
  assert.equal(refreshes(provider, "native").length, rounds + 5);
  await oneGoodRefreshToken(provider, "native", me);
});

test("a login that the provider has ended says so, and the next one heals it", async () => {
  const here = await stage();
  const { provider, gateway } = here;
  const me = await signedIn(here, "native");
  const folders = ["folders", "--datasource", gateway.datasource];
  await me.succeeds(folders);
  provider.revokeLogins("native");
  const words = await me.fails(77, folders);
  assert.match(words, /^Error: .*the login has ended/m);
  assert.match(words, /^Hint: .*`pwfs login`/m);
  assert.equal((await me.login([])).code, 0);
  await me.succeeds(folders);
});

test("a refresh token that a thief used first ends the login with words", async () => {
  const here = await stage();
  const { provider, gateway } = here;
  const me = await signedIn(here, "native");
  const stolen = await fetch(`${provider.issuer}/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "refresh_token", client_id: "native", refresh_token: me.stored().refresh_token,
    }),
  });
  assert.equal(stolen.status, 200);
  const { access_token } = await stolen.json();
  // The person's own access token ends; that of the thief does not.
  provider.endAccessTokens(access_token);
  const words = await me.fails(77, ["folders", "--datasource", gateway.datasource]);
  assert.match(words, /the login has ended \(invalid_grant/);
  assert.equal((await provider.introspect(access_token)).active, false, "the thief has nothing any more either");
});

test("a logout ends the login at the provider", async () => {
  const here = await stage();
  const { provider, gateway } = here;
  const me = await signedIn(here, "native");
  const { access_token, refresh_token } = me.stored();
  assert.equal((await provider.introspect(refresh_token)).active, true);
  assert.equal(await me.succeeds(["logout"]), "signed out, at the identity provider too\n");
  assert.equal((await provider.introspect(refresh_token)).active, false);
  assert.equal((await provider.introspect(access_token)).active, false);
  assert.match(await me.fails(77, ["folders", "--datasource", gateway.datasource]), /pwfs login/);
});

for (const method of ["client_secret_post", "client_secret_basic"]) {
  test(`a rotated secret is asked for, and heals the login without a browser (${method})`, async () => {
    const { provider, gateway } = await stage({ authMethods: [method] });
    const me = person();
    const folders = ["folders", "--datasource", gateway.datasource];
    const redirect = await freeRedirect();
    await provider.app("web", method, redirect);
    const end = await me.login([...app(provider, "web", redirect), "--client-secret-file", me.write("secret", SECRET)]);
    assert.equal(end.code, 0, end.stderr);
    const { refresh_token } = me.stored();

    await provider.rotateSecret("web", "rotated/secret+1");
    await me.succeeds(folders);
    provider.endAccessTokens();
    const words = await me.fails(77, folders);
    assert.match(words, /Client Secret/);
    assert.match(words, /^Hint: .*--client-secret-file/m);
    assert.equal(me.stored().refresh_token, refresh_token, "it is as good as before");

    me.write("secret", "wrong");
    assert.match(await me.fails(77, ["login", "--client-secret-file", "secret"]), /Client Secret/);
    me.write("secret", "rotated/secret+1\n");
    const healed = JSON.parse(await me.succeeds(["login", "--client-secret-file", "secret", "--json"]));
    assert.equal(healed.browser, false);
    await me.succeeds(folders);
    assert.deepEqual(provider.liveRefreshTokens("web"), [me.stored().refresh_token]);
  });
}
