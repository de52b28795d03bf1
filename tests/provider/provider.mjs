// An OpenID provider that is not ours, with apps of every type the iTwin portal has, and everything in memory.
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

export const SCOPE = "projectwise:read";
export const RESOURCE = "urn:pwfs:gateway";
export const PERSON = { sub: "8c1f3d52", name: "Foreign Engineer", email: "foreign.engineer@example.com" };
/** Everything that form and header encodings treat differently. */
export const SECRET = "web+secret/==:%41 &x";
const GATEWAY = { client_id: "gateway", client_secret: "gateway-secret" };
/** Seconds. A person's login here lasts longer than any test. */
const LONG = 3600;

/** Where one provider keeps all it knows; the clients too, so that a secret can be rotated while it runs. */
function memory() {
  const rows = new Map();
  const key = (model, id) => `${model} ${id}`;
  const uids = new Map();
  return class Memory {
    static rows = rows;
    constructor(model) { this.model = model; }
    async upsert(id, payload) {
      rows.set(key(this.model, id), payload);
      if (payload.uid) uids.set(payload.uid, id);
    }
    async find(id) { return rows.get(key(this.model, id)); }
    async findByUid(uid) { return this.find(uids.get(uid)); }
    async consume(id) { rows.get(key(this.model, id)).consumed = Math.floor(Date.now() / 1000); }
    async destroy(id) { rows.delete(key(this.model, id)); }
    async revokeByGrantId(grantId) {
      for (const [at, payload] of rows) {
        if (at.startsWith(`${this.model} `) && payload.grantId === grantId) rows.delete(at);
      }
    }
  };
}

/**
 * Starts a provider on a free port.
 *
 * `authMethods`: how a secret may come. `jwt`: access tokens are JWTs instead of words without meaning. `strict`: a
 * refresh token only for a request with `prompt=consent`, as OpenID Connect Core 11 has it and this provider by itself.
 */
export async function openProvider({
  authMethods = ["client_secret_basic", "client_secret_post"], jwt = false, strict = false,
} = {}) {
  const Memory = memory();
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${server.address().port}`;
  // What tests turn and look at.
  const state = {
    /** Seconds an access token lives. */
    lifetime: LONG,
    /** What the person says on the consent page. */
    consents: true,
    /** Every token and revocation request: the grant, how the client proved itself, the error if any. */
    asked: [],
  };
  const provider = new Provider(issuer, {
    adapter: Memory,
    scopes: ["openid", "offline_access", SCOPE],
    clientAuthMethods: [...authMethods, "none"],
    cookies: { keys: ["only for tests"] },
    jwks: { keys: [signingKey()] },
    ttl: {
      AccessToken: () => state.lifetime,
      ClientCredentials: () => state.lifetime,
      RefreshToken: LONG, Grant: LONG, Session: LONG, Interaction: LONG, AuthorizationCode: 60,
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ...(strict ? {} : { issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token") }),
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ ...PERSON, sub }) }),
    extraTokenClaims: (_ctx, token) => token.accountId ? { name: PERSON.name, email: PERSON.email } : undefined,
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      introspection: {
        enabled: true, allowedPolicy: (_ctx, client) => client.clientId === GATEWAY.client_id,
      },
      resourceIndicators: {
        enabled: jwt,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: SCOPE, audience: RESOURCE, accessTokenFormat: "jwt", accessTokenTTL: state.lifetime,
        }),
      },
    },
  });
  provider.use(async (ctx, next) => {
    if (ctx.path.startsWith("/interaction/")) return interact(provider, state, ctx);
    await next();
    if (["/token", "/token/revocation"].includes(ctx.path)) state.asked.push(note(ctx));
  });
  server.on("request", provider.callback());

  const register = (client) => new Memory("Client").upsert(client.client_id, client);
  await register({
    ...GATEWAY, token_endpoint_auth_method: authMethods[0], grant_types: [], response_types: [], redirect_uris: [],
  });
  return {
    issuer, state, register,
    /** Registers an app with a browser; without a secret if `method` is "none". */
    async app(client_id, method, redirect_uri, more = {}) {
      await register({
        client_id,
        token_endpoint_auth_method: method,
        ...(method === "none" ? {} : { client_secret: SECRET }),
        application_type: method === "none" ? "native" : "web",
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: [redirect_uri],
        ...more,
      });
      return client_id;
    },
    async rotateSecret(client_id, client_secret) {
      await register({ ...await new Memory("Client").find(client_id), client_secret });
    },
    /** What the provider knows of a token; the gateway asks the same. */
    async introspect(token) {
      const basic = Buffer.from(`${GATEWAY.client_id}:${GATEWAY.client_secret}`).toString("base64");
      const byPost = authMethods[0] === "client_secret_post";
      const answer = await fetch(`${issuer}/token/introspection`, {
        method: "POST",
        headers: byPost ? {} : { authorization: `Basic ${basic}` },
        body: new URLSearchParams({ token, ...(byPost ? GATEWAY : {}) }),
      });
      return answer.json();
    },
    /** Ends every login of an app, as an administrator does. */
    revokeLogins(client_id) {
      for (const [at, payload] of Memory.rows) {
        if (payload.clientId === client_id && !at.startsWith("Client ")) Memory.rows.delete(at);
      }
    },
    /** Ends every access token but one, as if time had passed. */
    endAccessTokens(but) {
      for (const at of Memory.rows.keys()) if (/^(AccessToken|ClientCredentials) /.test(at) && !at.endsWith(` ${but}`)) Memory.rows.delete(at);
    },
    /** The refresh tokens of an app that can still be used. */
    liveRefreshTokens(client_id) {
      const mine = [...Memory.rows].filter(([at, payload]) =>
        at.startsWith("RefreshToken ") && payload.clientId === client_id && !payload.consumed);
      return mine.map(([at]) => at.slice("RefreshToken ".length));
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "only" };
}

/** The pages of a provider without the pages: signs the person in, then says what they say to the app's wishes. */
async function interact(provider, state, ctx) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  let result;
  if (prompt.name === "login") {
    result = { login: { accountId: PERSON.sub } };
  } else if (!state.consents) {
    result = { error: "access_denied", error_description: "the person said no" };
  } else {
    const grant = grantId ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    const { missingOIDCScope, missingResourceScopes } = prompt.details;
    if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(" "));
    for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) {
      grant.addResourceScope(resource, scopes.join(" "));
    }
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(ctx.req, ctx.res, result);
}

function note(ctx) {
  const body = ctx.oidc?.body ?? {};
  const how = ctx.get("authorization").startsWith("Basic ") ? "basic" : body.client_secret ? "post" : "none";
  return {
    path: ctx.path, grant: body.grant_type, client: ctx.oidc?.client?.clientId, how, status: ctx.status,
    error: ctx.body?.error, detail: ctx.body?.error_description,
  };
}
