// Compares two trees of records by shape; prints each difference, and exits 1 if there is one.
//
//   node shape.mjs COMMITTED RECORDED RELEASE...
//
// A record's shape is its text with every number, time and random identifier replaced by its kind, so that key
// order, types, indent and the final newline count. Of a note, everything counts but the circumstances of the recording.
import fs from "node:fs";
import path from "node:path";
import process from "node:process";

// What a gateway leaves beside its locks has names and sizes of the moment.
const CIRCUMSTANCES = ["node", "kernel", "recorded_at", "gateway_run"];

function shape(file) {
  let text = fs.readFileSync(file, "utf8");
  if (path.basename(file) === "note.json") {
    const note = JSON.parse(text);
    for (const key of CIRCUMSTANCES) note[key] = typeof note[key];
    return JSON.stringify(note, null, 2);
  }
  // The trailer that makes a record unlike every other: 128 random bits, as tabs and spaces.
  text = text.replace(/\n\t{8}[\t ]{128}\n$/, "\n<trailer>\n");
  // Times, and identifiers made for the occasion.
  text = text.replace(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/g, '"<time>"');
  text = text.replace(/"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"/g, '"<uuid>"');
  return text.replace(/-?\d+(\.\d+)?([eE][-+]?\d+)?/g, (number) => (/^-?\d+$/.test(number) ? "<integer>" : "<number>"));
}

function shapes(dir) {
  if (!fs.existsSync(dir)) return {};
  const files = fs.readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  return Object.fromEntries(
    files.map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      return [path.relative(dir, file), shape(file)];
    }),
  );
}

// The lines of a text that the other lacks, escaped so that white space shows.
function excerpt(text, other) {
  if (text === undefined) return "(absent)";
  const lines = new Set((other ?? "").split("\n"));
  const own = text.split("\n").filter((line) => !lines.has(line));
  return JSON.stringify(own.length > 0 ? own.join("\n") : text);
}

const [committed, recorded, ...releases] = process.argv.slice(2);
for (const release of releases) {
  const want = shapes(path.join(committed, release));
  const got = shapes(path.join(recorded, release));
  for (const file of new Set([...Object.keys(want), ...Object.keys(got)])) {
    if (want[file] === got[file]) continue;
    process.exitCode = 1;
    console.log(`${release}/${file}\n  fixture:  ${excerpt(want[file], got[file])}\n  recorded: ${excerpt(got[file], want[file])}`);
  }
}
