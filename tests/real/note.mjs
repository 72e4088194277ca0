// Prints a release's note.json: where its records come from and how they were made.
//
//   node note.mjs NODE_MODULES RELEASE INSTALL-ROOT [RECORD PID LOCK-DIR]...
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { lockOf, RUNTIME_DEPS_LOCK } from "./release.mjs";

const [modules, release, installRoot, ...rows] = process.argv.slice(2);
const installed = JSON.parse(fs.readFileSync(path.join(modules, ".package-lock.json"), "utf8"));
const { chunk, alias, how } = await lockOf(path.join(modules, "openclaw"), RUNTIME_DEPS_LOCK);
const mode = (file) => (fs.statSync(file).mode & 0o7777).toString(8).padStart(4, "0");

const records = {};
for (let i = 0; i < rows.length; i += 3) {
  const [name, pid, lockDir] = rows.slice(i, i + 3);
  const owner = JSON.parse(fs.readFileSync(path.join(lockDir, "owner.json"), "utf8"));
  if (owner.pid !== Number(pid)) throw new Error(`${name}: the record names pid ${owner.pid}, the holder was ${pid}`);
  records[name] = {
    lock_dir: path.basename(lockDir),
    pid_namespace: name.endsWith("ordinary-pid") ? "the host's" : "its own",
    lock_dir_mode: mode(lockDir),
    file_mode: mode(path.join(lockDir, "owner.json")),
  };
}

const note = {
  release,
  integrity: installed.packages["node_modules/openclaw"].integrity,
  command: `tests/real/run record ${release}`,
  driven: {
    how: `hold-lock.mjs imports the chunk as published, not a byte changed, and calls ${how}`,
    chunk,
    export: alias,
  },
  install_root: { package_dir: "/app", name: path.basename(installRoot) },
  umask: "0022",
  records,
  node: process.version,
  // Without the local suffix, which would say more about the builder than about the record.
  kernel: `${os.type()} ${os.release().replace(/-.*/, "")}`,
  recorded_at: new Date().toISOString(),
};
process.stdout.write(`${JSON.stringify(note, null, 2)}\n`);
