// A Service app: nobody at a browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SECRET } from "./provider.mjs";
import { person, stage } from "./stage.mjs";

const { stdout: help } = await person().run(["login", "--help"]);
const skip = /--service\b/.test(help) ? false : "this pwfs has no `login --service`";

test("a service app signs in with its secret alone, and anew by itself", { skip }, async () => {
  const { provider, gateway } = await stage();
  const me = person();
  await provider.register({
    client_id: "service", client_secret: SECRET, token_endpoint_auth_method: "client_secret_post",
    grant_types: ["client_credentials"], response_types: [], redirect_uris: [],
  });
  me.write("secret", SECRET);
  await me.succeeds(["login", "--service", "--credentials", "file", "--issuer", provider.issuer, "--client-id", "service",
    "--client-secret-file", "secret"]);
  const folders = ["folders", "--datasource", gateway.datasource];
  await me.succeeds(folders);
  provider.endAccessTokens();
  await me.succeeds(folders);
  const grants = provider.state.asked.map((one) => one.grant);
  assert.ok(grants.length >= 2 && grants.every((grant) => grant === "client_credentials"), grants.join());

  await provider.rotateSecret("service", "rotated");
  provider.endAccessTokens();
  assert.match(await me.fails(77, folders), /Client Secret/);
  me.write("secret", "rotated");
  await me.succeeds(["login", "--service", "--client-secret-file", "secret"]);
  await me.succeeds(folders);
});
