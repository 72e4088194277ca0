// Holds a report of openclaw-doctor against what is known of the gateway that it is about.
//
//   node live.mjs REPORT WHAT STATE-DIR LOCK...
//
// The LOCKs are the gateway's own. WHAT:
//   active       every lock is active, the gateway's own among them
//   found        of a scan without a PATH: the state dir is a root, the gateway's own locks are found and active
//   untouched    of a repair: nothing was removed
//   stale        the gateway's own locks are proven stale; of what the kernel locks, nothing is called stale
//   removed      of a repair: the gateway's own locks were removed, and nothing else
// Prints each lock and each thing that is otherwise; exits 1 if anything is.
import fs from "node:fs";
import path from "node:path";
import process from "node:process";

const [file, what, stateDir, ...own] = process.argv.slice(2);
const report = JSON.parse(fs.readFileSync(file, "utf8"));
const wrong = [];
const expect = (holds, ...words) => holds || wrong.push(words.join(" "));

const STALE = ["stale-dead-pid", "stale-recycled-pid"];
const familyOf = (lock) => (path.basename(lock) === "gateway.state.lock" ? "gateway-state" : "gateway");
const isKernels = ({ path }) => path.endsWith(".lock.sqlite");
const identity = (place) => {
  const stat = fs.statSync(place, { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
};
// On a machine with other gateways only the inode tells ours: all of them may call it by the same name. In a report
// from inside the container, the name is all there is.
const isSame = (lock, path_) =>
  what === "found" ? identity(lock.path) === identity(path_) : path.basename(lock.path) === path.basename(path_);

const ours = own.map((lock) => {
  const found = report.locks.filter((other) => isSame(other, lock));
  expect(found.length === 1, path.basename(lock), "is reported", found.length, "times");
  for (const { family } of found) expect(family === familyOf(lock), path.basename(lock), "has the family", family);
  return found[0];
});
const each = (locks, holds) => {
  for (const lock of locks.filter(Boolean)) {
    expect(holds(lock), lock.path, "is", lock.classification, lock.proof, lock.leaning, lock.outcome ?? "", lock.explanation);
  }
};
const isActive = (lock) => lock.classification === "active";

expect(own.length > 0, "the gateway has no lock");
switch (what) {
  case "active":
    each(report.locks, isActive);
    break;
  case "found": {
    const state = fs.statSync(stateDir, { bigint: true });
    // Device numbers as the report has them cannot be compared with those of stat(2) in JavaScript, which come packed.
    const roots = report.roots.filter((root) => root.inode !== null && BigInt(root.inode) === state.ino);
    expect(roots.length > 0, "the state dir is not among the roots:", report.roots.map((root) => root.path).join(" "));
    each(ours, isActive);
    break;
  }
  case "untouched":
    expect(report.summary.removed === 0, report.summary.removed, "were removed");
    each(report.locks, isActive);
    break;
  case "stale":
    each(ours, (lock) => STALE.includes(lock.classification) && lock.proof);
    each(report.locks.filter(isKernels), (lock) => !STALE.includes(lock.classification) && lock.leaning !== "likely-stale");
    break;
  case "removed":
    expect(report.summary.removed === own.length, report.summary.removed, "were removed");
    each(ours, (lock) => STALE.includes(lock.classification) && lock.outcome === "removed");
    break;
  default:
    expect(false, "what is", what);
}

if (what !== "found") {
  for (const { family, classification, proof, outcome, path } of report.locks) {
    console.error(`   ${family}: ${classification}${proof ? ", proven" : ""}${outcome ? `, ${outcome}` : ""}: ${path}`);
  }
}
for (const line of wrong) console.error(`   otherwise than expected: ${line}`);
process.exit(wrong.length ? 1 : 0);
