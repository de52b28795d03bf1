// A gateway that believes a foreign provider: asks it about each token, and lets `pwfs simulate` answer the rest.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { PWFS } from "./person.mjs";
import { RESOURCE, SCOPE } from "./provider.mjs";

/** Starts the simulator. Its people sign in with a password, hence nothing of its own identity service is used. */
export async function openSimulator() {
  const child = spawn(PWFS, ["simulate", "--port", "0", "--json"], { stdio: ["ignore", "pipe", "inherit"] });
  const failed = new Promise((_, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`the simulator ended with ${code}`)));
  });
  failed.catch(() => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value } = await Promise.race([lines.next(), failed]);
  return { report: JSON.parse(value), close: () => child.kill() };
}

/** Starts a gateway in front of `simulator` that takes the tokens of `provider`. */
export async function openGateway(simulator, provider) {
  const { server, datasource, people } = simulator.report;
  const person = people.find((one) => one.user);
  const basic = `Basic ${Buffer.from(`${person.user}:${person.password}`).toString("base64")}`;
  const keys = createRemoteJWKSet(new URL(`${provider.issuer}/jwks`));
  const isGood = async (token) => {
    if (token.split(".").length === 3) {
      const proved = await jwtVerify(token, keys, { issuer: provider.issuer, audience: RESOURCE }).catch(() => null);
      return proved?.payload.scope === SCOPE;
    }
    const known = await provider.introspect(token);
    return known.active && known.scope.split(" ").includes(SCOPE);
  };
  const seen = { accepted: 0, refused: 0 };
  const guard = createServer(async (request, response) => {
    try {
      const token = request.headers.authorization?.match(/^Bearer (.+)$/)?.[1];
      if (!token || !await isGood(token)) {
        seen.refused += 1;
        response.writeHead(401, { "content-type": "application/json" });
        return response.end('{"errorId":"LoginFailed","errorMessage":"the token is not good"}');
      }
      seen.accepted += 1;
      const headers = { ...request.headers, authorization: basic };
      for (const name of ["host", "connection", "accept-encoding"]) delete headers[name];
      const answer = await fetch(new URL(request.url, server), { headers });
      const kept = [...answer.headers].filter(([name]) => !["connection", "transfer-encoding"].includes(name));
      response.writeHead(answer.status, Object.fromEntries(kept));
      response.end(Buffer.from(await answer.arrayBuffer()));
    } catch (error) {
      response.writeHead(502).end(String(error));
    }
  });
  guard.listen(0, "127.0.0.1");
  await once(guard, "listening");
  const { pathname } = new URL(datasource);
  return {
    datasource: `http://127.0.0.1:${guard.address().port}${pathname}`, seen,
    close() {
      guard.close();
      guard.closeAllConnections();
    },
  };
}
