// Makes a release take the locks of some families with its own code, and stays there until killed.
//
//   node hold-family.mjs PACKAGE-DIR RELEASE FAMILY...
//
// Prints, each as one line:
//   acquiring PID
//   held FAMILY LOCK-PATH JSON     what was called, for the note
//   failed FAMILY MESSAGE
//   done COUNT
// No byte of the package is changed. Node's functions that remove files never return for one of these locks (and
// return at once, having done nothing, where they block): most callers take theirs for an instant, and a record
// is to be copied at leisure.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { FAMILIES } from "./families.mjs";

const [packageDir, release, ...names] = process.argv.slice(2);
const unknown = names.find((name) => !FAMILIES[name]);
if (unknown || names.length === 0) {
  process.stderr.write(`hold-family.mjs: no family named ${unknown}\n`);
  process.exit(2);
}
const print = (...words) => fs.writeSync(1, `${words.join(" ")}\n`);
const locks = new Map(names.map((name) => [FAMILIES[name].lock(release), name]));

const stopAt = (object, method, stop) => {
  const real = object[method];
  object[method] = function (target, ...rest) {
    return locks.has(String(target)) ? stop() : real.call(this, target, ...rest);
  };
};
for (const method of ["rm", "rmdir", "unlink"]) {
  stopAt(fs.promises, method, () => new Promise(() => {}));
  stopAt(fs, method, () => undefined);
  stopAt(fs, `${method}Sync`, () => undefined);
}
syncBuiltinESMExports();

// An empty directory is a lock; a file is one once its payload is in it.
const taken = (lock) => {
  const stat = fs.statSync(lock, { throwIfNoEntry: false });
  return stat && (stat.isDirectory() || stat.size > 0);
};

print("acquiring", process.pid);
process.on("unhandledRejection", (error) => print("rejected", error.message));
for (const [lock, name] of locks) {
  try {
    const { started, ...driven } = await FAMILIES[name].take({ packageDir, release, lock });
    let error;
    Promise.resolve(started).catch((thrown) => (error = thrown));
    for (let tries = 0; !taken(lock); tries++) {
      if (error) throw error;
      if (tries === 600) throw new Error(`no ${lock} after 60 s`);
      await sleep(100);
    }
    print("held", name, lock, JSON.stringify(driven));
  } catch (error) {
    print("failed", name, error.message.replaceAll("\n", " "));
  }
}
print("done", locks.size);
setInterval(() => {}, 60000);
