// What a test stands on: the simulator, a provider with a gateway that believes it, and people with homes of their own.
import { after } from "node:test";
import { openGateway, openSimulator } from "./gateway.mjs";
import { Person } from "./person.mjs";
import { openProvider } from "./provider.mjs";

/** Any port of this machine: the provider is one that follows RFC 8252 for apps without a secret. */
export const ANY_PORT = "http://localhost:0/signin-callback";

const opened = [];
const keep = (thing) => {
  opened.push(thing);
  return thing;
};

after(() => opened.reverse().forEach((thing) => thing.close()));

const simulator = keep(await openSimulator());

/** A provider, and a gateway in front of the simulator that takes its tokens. */
export async function stage(options) {
  const provider = keep(await openProvider(options));
  const gateway = keep(await openGateway(simulator, provider));
  return { provider, gateway };
}

export function person() {
  return keep(new Person());
}

/** The flags that name an app. */
export function app(provider, client_id, redirect_uri = ANY_PORT) {
  return ["--issuer", provider.issuer, "--client-id", client_id, "--redirect-uri", redirect_uri];
}

/** Somebody who is signed in to a native app of their own. */
export async function signedIn({ provider }, client_id) {
  const somebody = person();
  await provider.app(client_id, "none", ANY_PORT);
  const end = await somebody.login(app(provider, client_id));
  if (end.code !== 0) throw new Error(end.stderr);
  return somebody;
}

/** A redirect URI of this machine with a port that is free now, for apps whose port has to be said. */
export async function freeRedirect() {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return `http://localhost:${port}/signin-callback`;
}
