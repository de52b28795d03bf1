// Somebody with a home directory and the real program.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { visitor } from "./visitor.mjs";

export const PWFS = resolve(process.env.PWFS ?? "../../target/debug/pwfs");
/** Milliseconds. No step takes so long, even on a busy machine. */
const PATIENCE = 120_000;

export class Person {
  constructor() {
    this.home = mkdtempSync(join(tmpdir(), "pwfs-provider-"));
    this.browser = visitor();
    this.children = new Set();
  }

  /** Starts the program; it gets nothing of this process's environment but the way to other programs. */
  start(args, env = {}) {
    const child = spawn(PWFS, args, {
      cwd: this.home, env: { PATH: process.env.PATH, HOME: this.home, ...env }, stdio: ["ignore", "pipe", "pipe"],
    });
    this.children.add(child);
    const said = { stdout: "", stderr: "", code: null };
    for (const name of ["stdout", "stderr"]) {
      child[name].setEncoding("utf8").on("data", (text) => { said[name] += text; });
    }
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    const ended = new Promise((done, fail) => {
      child.on("error", fail);
      child.on("close", (code, signal) => {
        clearTimeout(timer);
        this.children.delete(child);
        done({ ...said, code, signal });
      });
    });
    /** Waits for something on stderr. */
    const hears = (wanted) => new Promise((done, fail) => {
      const look = () => {
        const found = said.stderr.match(wanted);
        if (found) done(found);
      };
      child.stderr.on("data", look);
      ended.then((end) => fail(new Error(`it ended without ${wanted}: ${JSON.stringify(end)}`)), fail);
      look();
    });
    return { child, said, ended, hears };
  }

  /** Runs the program to its end. */
  run(args, env) {
    return this.start(args, env).ended;
  }

  async succeeds(args, env) {
    const end = await this.run(args, env);
    assert.equal(end.code, 0, `pwfs ${args.join(" ")}: ${end.stderr}`);
    return end.stdout;
  }

  async fails(code, args, env) {
    const end = await this.run(args, env);
    assert.equal(end.code, code, `pwfs ${args.join(" ")}: ${end.stdout}${end.stderr}`);
    return end.stderr;
  }

  /** Begins a login, up to the address to open. */
  async beginLogin(args, env) {
    const login = this.start(["login", "--no-browser", "--credentials", "file", ...args], env);
    const [address] = await login.hears(/^ *http\S+$/m);
    return { ...login, address: address.trim() };
  }

  /** Signs in, with a browser that goes where it is sent. */
  async login(args, env) {
    const login = await this.beginLogin(args, env);
    const page = await this.browser.visit(login.address);
    return { page, address: login.address, ...await login.ended };
  }

  /** The stored login. */
  stored() {
    return JSON.parse(readFileSync(join(this.home, ".local/state/pwfs/credentials/default.json"), "utf8"));
  }

  write(name, text) {
    writeFileSync(join(this.home, name), text);
    return name;
  }

  close() {
    // Those of a test that failed halfway.
    for (const child of this.children) child.kill("SIGKILL");
    rmSync(this.home, { recursive: true });
  }
}

/** The arguments of every process of this machine. */
export function everyArgument() {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      // It has ended.
      return "";
    }
  }).join("\0");
}
