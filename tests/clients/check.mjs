// Starts the simulator (or uses the one at PWFS_SIMULATOR) and lets both clients loose on it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { everyStep, signIn } from "./signin.mjs";
import { read } from "./tree.mjs";

const PAGE = 50;

async function simulator() {
  if (process.env.PWFS_SIMULATOR) return { base: process.env.PWFS_SIMULATOR, stop() {} };
  const child = spawn(process.env.PWFS ?? "pwfs", ["simulate", "--auto-consent", "--port", "0", "--json"],
    { stdio: ["ignore", "pipe", "inherit"] });
  const failed = new Promise((_, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`the simulator ended with ${code}`)));
  });
  failed.catch(() => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value } = await Promise.race([lines.next(), failed]);
  return { base: JSON.parse(value).server, stop: () => child.kill() };
}

const { base, stop } = await simulator();
try {
  const json = async (path, options) => (await fetch(`${base}${path}`, options)).json();
  await everyStep(base);
  console.log("openid-client: signed in, checked the ID token, refreshed, revoked, and got a service token");
  const { tokens } = await signIn(base);
  const repositories = await json("/ws/v2.8/Repositories/",
    { headers: { authorization: `Bearer ${tokens.access_token}` } });
  const repository = repositories.instances.find(
    (row) => row.properties.ECPluginID === "Bentley.PW").instanceId;
  const seen = await read(`${base}/ws`, repository, tokens.access_token, PAGE);
  const tree = await json("/admin/tree");
  const rows = (list) => list.map(([id, name]) => `${id} ${name}`).sort();
  // Asked for by class, not by walking: everything not hidden itself shows.
  const folders = new Map(seen.folders.map((row) => [row.wsgId, row.name]));
  for (const folder of tree.folders.filter((row) => row.listed)) {
    assert.equal(folders.get(folder.guid), folder.path.at(-1));
  }
  const expected = tree.documents.filter((row) => row.listed && row.kind !== "set");
  const documents = new Map(seen.documents.map((row) => [row.wsgId, row.name]));
  assert.deepEqual(rows(expected.map((row) => [row.guid, documents.get(row.guid)])),
    rows(expected.map((row) => [row.guid, row.name])));
  const known = new Set([...tree.folders, ...tree.documents].map((row) => row.guid));
  assert.ok([...folders.keys(), ...documents.keys()].every((id) => known.has(id)));
  assert.ok(seen.documents.length > 2 * PAGE && seen.documents.length === documents.size);
  console.log(`@bentley/itwin-client: ${folders.size} folders, ${documents.size} documents, in pages of ${PAGE}`);
} finally {
  stop();
}
