// openid-client, a certified OpenID client that is not ours, signs in to the simulator.
import assert from "node:assert/strict";
import * as openid from "openid-client";

export const REDIRECT = "http://localhost:3301/signin-callback";
const SCOPES = "openid profile email offline_access projectwise:read";
// The issuer is http on this machine; a real one is https.
const INSECURE = { execute: [openid.allowInsecureRequests] };

// Signs in with code and PKCE; every step is checked by openid-client. Returns the tokens.
export async function signIn(issuer) {
  const config = await openid.discovery(
    new URL(issuer), "native-pwfs-demo", undefined, openid.None(), INSECURE);
  // The ID token's signature is checked against the published keys.
  openid.enableNonRepudiationChecks(config);
  const verifier = openid.randomPKCECodeVerifier();
  const [state, nonce] = [openid.randomState(), openid.randomNonce()];
  const address = openid.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT, scope: SCOPES, state, nonce,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const consent = await fetch(address, { redirect: "manual" });
  assert.equal(consent.status, 302);
  const back = new URL(consent.headers.get("location"));
  const tokens = await openid.authorizationCodeGrant(
    config, back, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce });
  return { config, tokens };
}

export async function everyStep(issuer) {
  const { config, tokens } = await signIn(issuer);
  const claims = tokens.claims();
  assert.equal(claims.iss, config.serverMetadata().issuer);
  const person = await openid.fetchUserInfo(config, tokens.access_token, claims.sub);
  assert.equal(person.email, "demo.engineer@example.com");
  const renewed = await openid.refreshTokenGrant(config, tokens.refresh_token);
  assert.notEqual(renewed.access_token, tokens.access_token);
  await openid.tokenRevocation(config, renewed.access_token);
  await assert.rejects(openid.fetchUserInfo(config, renewed.access_token, claims.sub));
  const service = await openid.discovery(
    new URL(issuer), "service-pwfs-demo", undefined,
    openid.ClientSecretPost(process.env.PWFS_SERVICE_SECRET ?? "demo-service+secret/=="), INSECURE);
  const own = await openid.clientCredentialsGrant(service, { scope: "itwin-platform" });
  assert.ok(own.access_token);
  assert.equal(own.refresh_token, undefined);
}
