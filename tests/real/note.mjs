// Prints a release's note.json: where its records come from and how they were made.
//
//   node note.mjs NODE_MODULES RELEASE INSTALL-ROOT GATEWAY-RUN [RECORD PID LOCK-PATH DRIVEN]...
//
// INSTALL-ROOT is empty for a release without a stage directory, and GATEWAY-RUN (a file) if no gateway ran.
// DRIVEN is empty for a stage directory's lock, and else how the lock was taken, as JSON with the path of the
// lock in its container as `lock`.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { lockOf, RUNTIME_DEPS_LOCK } from "./release.mjs";

const [modules, release, installRoot, gatewayRun, ...rows] = process.argv.slice(2);
const installed = JSON.parse(fs.readFileSync(path.join(modules, ".package-lock.json"), "utf8"));
const mode = (file) => (fs.statSync(file).mode & 0o7777).toString(8).padStart(4, "0");

// Every payload names its holder, as JSON or as `pid:time`.
function checkHolder(name, file, pid) {
  const text = fs.readFileSync(file, "utf8");
  const holder = text.startsWith("{") ? JSON.parse(text).pid : Number(text.split(":")[0]);
  if (holder !== Number(pid)) throw new Error(`${name}: the record names pid ${holder}, the holder was ${pid}`);
}

function describe(name, pid, lock, driven) {
  if (!driven) {
    checkHolder(name, path.join(lock, "owner.json"), pid);
    return {
      lock_dir: path.basename(lock),
      pid_namespace: name.endsWith("ordinary-pid") ? "the host's" : "its own",
      lock_dir_mode: mode(lock),
      file_mode: mode(path.join(lock, "owner.json")),
    };
  }
  const { lock: shown, ...call } = JSON.parse(driven);
  const directory = fs.statSync(lock).isDirectory();
  if (directory && fs.readdirSync(lock).length > 0) throw new Error(`${name}: ${shown} is not empty`);
  if (!directory) checkHolder(name, lock, pid);
  return {
    lock: shown,
    form: directory ? "empty directory: nothing for git to keep" : "file",
    pid_namespace: "its own",
    [directory ? "dir_mode" : "file_mode"]: mode(lock),
    driven: call,
  };
}

const records = {};
for (let i = 0; i < rows.length; i += 4) records[rows[i]] = describe(...rows.slice(i, i + 4));

const stage = {};
if (installRoot) {
  const { chunk, alias, how } = await lockOf(path.join(modules, "openclaw"), RUNTIME_DEPS_LOCK);
  stage.driven = {
    how: `hold-lock.mjs imports the chunk as published, not a byte changed, and calls ${how}`,
    chunk,
    export: alias,
  };
  stage.install_root = { package_dir: "/app", name: path.basename(installRoot) };
}

const note = {
  release,
  integrity: installed.packages["node_modules/openclaw"].integrity,
  command: `tests/real/run record ${release}`,
  ...stage,
  umask: "0022",
  records,
  ...(gatewayRun ? { gateway_run: JSON.parse(fs.readFileSync(gatewayRun, "utf8")) } : {}),
  node: process.version,
  // Without the local suffix, which would say more about the builder than about the record.
  kernel: `${os.type()} ${os.release().replace(/-.*/, "")}`,
  recorded_at: new Date().toISOString(),
};
process.stdout.write(`${JSON.stringify(note, null, 2)}\n`);
