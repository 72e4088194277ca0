// Lists what a killed gateway left, and what the kernel's table of locks said while it ran.
//
//   node list-left.mjs HOME TMP PROC-LOCKS LISTENING
//
// HOME and TMP are the directories that it knew as /home/node and /tmp; PROC-LOCKS is a copy of its /proc/locks.
import fs from "node:fs";
import path from "node:path";
import process from "node:process";

const [home, tmp, procLocks, listening] = process.argv.slice(2);
// Installed packages, their mirrors and the pages of the user interface: thousands of files. Of these, only locks.
const CLOSED = ["node_modules", "plugin-runtime-deps", "control-ui-assets"];
const left = [];
const names = new Map();

function walk(dir, shown, closed) {
  for (const entry of fs.readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = path.join(dir, entry.name);
    const stat = fs.lstatSync(file, { bigint: true });
    const name = `${shown}/${entry.name}`;
    names.set(String(stat.ino), name);
    const mode = (Number(stat.mode) & 0o7777).toString(8).padStart(4, "0");
    const type = stat.isDirectory() ? "directory" : stat.isSymbolicLink() ? "symlink" : stat.isFile() ? "file" : "other";
    if (!closed || /^\.openclaw-.*lock/.test(entry.name)) {
      left.push(`${type} ${mode} ${type === "file" ? stat.size : "-"} ${name}`);
    }
    if (type === "directory") walk(file, name, closed || CLOSED.includes(entry.name));
  }
}
walk(home, "/home/node", false);
walk(tmp, "/tmp", false);

const locks = fs
  .readFileSync(procLocks, "utf8")
  .trim()
  .split("\n")
  .filter(Boolean)
  .map((line) => {
    const inode = line.match(/[0-9a-f]+:[0-9a-f]+:(\d+)/)?.[1];
    const format = line
      .replace(/^\d+:/, "N:")
      .replace(/\b(READ|WRITE) +(-?\d+) +[0-9a-f]+:[0-9a-f]+:\d+/, (_, kind, pid) => `${kind} ${pid === "7" ? "7" : "PID"} MAJ:MIN:INODE`);
    return `${format} ${names.get(inode) ?? "(not below /home/node or /tmp)"}`;
  })
  .sort();
process.stdout.write(`${JSON.stringify({ listening: listening === "true", proc_locks: locks, left })}\n`);
