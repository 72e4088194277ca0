// Takes a lock with a release's own code, and holds it until killed, or for HOLD-MS.
//
//   node hold-lock.mjs PACKAGE-DIR INSTALL-ROOT LOCK-DIR-NAME [HOLD-MS]
//
// INSTALL-ROOT `auto` is the one that the release computes. Prints, each as one line when it happens:
//   acquiring PID INSTALL-ROOT
//   held WAITED-MS EPOCH-MS
//   released
// Give HOLD-MS in scripts: a script that is killed outright cannot end what it started.
// The release's own error (a timeout after 300 s) goes to stderr, with exit code 1.
import fs from "node:fs";
import process from "node:process";
import { installRootOf, lockOf } from "./release.mjs";

const [packageDir, rootArgument, lockName, holdMs] = process.argv.slice(2);
if (!lockName) {
  process.stderr.write("usage: hold-lock.mjs PACKAGE-DIR INSTALL-ROOT LOCK-DIR-NAME [HOLD-MS]\n");
  process.exit(2);
}
// Written at once: the release's code blocks the event loop while it waits.
const print = (...words) => fs.writeSync(1, `${words.join(" ")}\n`);
const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

const { hold } = await lockOf(packageDir, lockName);
const installRoot = rootArgument === "auto" ? await installRootOf(packageDir) : rootArgument;
print("acquiring", process.pid, installRoot);
const started = Date.now();
hold(installRoot, () => {
  const now = Date.now();
  print("held", now - started, now);
  pause(holdMs === undefined ? Infinity : Number(holdMs));
});
print("released");
