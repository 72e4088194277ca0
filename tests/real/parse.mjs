// What Node.js makes of records: prints fixtures/json.jsonl, to which tests/robustness.rs holds our reader.
//
//   node tests/real/parse.mjs > fixtures/json.jsonl
//
// A line is one record, `hex`, with two answers: `json` (JSON.parse) and `line` (the pid of a line
// `<pid>:<ms>`, as OpenClaw's short-term-promotion reads it). Or it is one fixture, `of`, changed at each
// byte in one way, `how` (see `changes`): `said` names for each place an answer by its number in `answers`,
// and how often it comes in a row.
//
// An answer of JSON.parse: `throws`, `other` (no object), or `object`, `twice` if a key of it is there
// twice, and the keys that locks have: a number as it prints, a string as " and its time if it is as
// toISOString writes it until the year 9999, ~ and its time if Date.parse takes it otherwise, a lone ~ if not; ? for the rest.

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

// Dates in words are in local time.
process.env.TZ = "UTC";

const fixtures = join(dirname(fileURLToPath(import.meta.url)), "../../fixtures");
const KEYS = ["pid", "starttime", "startTime", "createdAt", "createdAtMs", "startedAt"];

// As OpenClaw's readers: fs.readFile(path, "utf8") keeps a byte order mark.
const decode = (bytes) => bytes.toString("utf8");

function json(bytes) {
  const text = decode(bytes);
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return "throws";
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) return "other";
  const said = KEYS.filter((key) => value[key] !== undefined).map((key) => `${key}:${shown(value[key])}`);
  return ["object", ...(hasTwins(text) ? ["twice"] : []), ...said].join(" ");
}

function shown(value) {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value !== "string") return "?";
  const ms = Date.parse(value);
  if (Number.isNaN(ms)) return "~";
  return value.length === 24 && new Date(ms).toISOString() === value ? `"${ms}` : `~${ms}`;
}

// Of a text that JSON.parse took: whether a key of the outermost object is there twice.
function hasTwins(text) {
  const keys = new Set();
  let depth = 0;
  for (const [token, follows] of tokens(text)) {
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    else if (depth === 1 && token.startsWith('"') && follows === ":") {
      const key = JSON.parse(token);
      if (keys.has(key)) return true;
      keys.add(key);
    }
  }
  return false;
}

function* tokens(text) {
  const all = [...text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/gs)].map(([token]) => token);
  for (const [index, token] of all.entries()) yield [token, all[index + 1]];
}

function line(bytes) {
  const match = decode(bytes).trim().match(/^(\d+):/);
  const pid = match ? Number.parseInt(match[1], 10) : 0;
  return pid > 0 ? String(pid) : "nobody";
}

// --- single records

const VALUES = [
  "7", "0", "-0", "-1", "-7.5", "7.0", "7.5", "07", "+7", ".7", "7.", "7e0", "1e1", "1E+1", "70e-1", "1e", "1e+", "1.e1",
  "0x7", "0e0", "00", "-", "--1", "-01", "4194304", "4194305", "4294967296", "9007199254740991", "9007199254740992",
  "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
  "1e22", "1e308", "1.7976931348623159e308", "1e309", "1e400", "-1e400", "1e-400", "4.9e-324", "0.1e1", "1e99999999999",
  `1${"0".repeat(309)}`, `0.${"0".repeat(309)}7e310`, "7.00000000000000000000000001", "6.9999999999999999999",
  "1777458804809", "1777458804809.5", "1777458804809.00", "8640000000000000", "8640000000000001", "null", "true", "false",
  "nul", "NULL", "True", "NaN", "Infinity", "-Infinity", "undefined", "[]", "{}", "[7]", "{\"pid\":7}", "[", "{", "]", "}",
  "[,]", "[7,]", "{\"a\":1,}", "{,}", "[1 2]", "[[[[[[[[7]]]]]]]]", "\"\"", "\"7\"", "\"7", "7\"", "'7'", "`7`",
  "\"\\ud83d\"", "\"\\ude00\"", "\"\\ude00\\ud83d\"", "\"\\ud83d\\ude00\"", "\"\\ud83dx\"", "\"\\uD83D\\n\"", "\"\\u12\"",
  "\"\\u12g4\"", "\"\\U0041\"", "\"\\x41\"", "\"\\'\"", "\"\\0\"", "\"\\\n\"", "\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"", "\"\\", "\"\\\"",
  "\"\u0000\"", "\"\u0001\"", "\"\u0008\"", "\"\t\"", "\"\n\"", "\"\r\"", "\"\u001f\"", "\"\u007f\"", "\"\u0080\"", "\"\u0085\"",
  "\"\u2028\"", "\"\u2029\"", "\"\ufeff\"", "\"\ufffd\"", "\"\u{1f600}\"", "/**/7", "7/**/", "//\n7", "1_000", "7n", "7,",
  "\"2026-05-01T20:18:48.682Z\"", "\"2026-05-01T20:18:48Z\"", "\"2026-05-01T20:18:48.6Z\"", "\"2026-05-01T20:18:48.682123Z\"",
  "\"2026-05-01T20:18:48.682z\"", "\"2026-05-01t20:18:48.682Z\"", "\"2026-05-01 20:18:48.682Z\"", "\"2026-05-01T20:18:48.682\"",
  "\"2026-05-01T20:18:48.682+00:00\"", "\"2026-05-01T22:18:48.682+02:00\"", "\"2026-05-01\"", "\"2026-05\"", "\"2026\"",
  "\"2026-02-29T00:00:00.000Z\"", "\"2024-02-29T00:00:00.000Z\"", "\"2026-02-30T00:00:00.000Z\"", "\"2026-13-01T00:00:00.000Z\"",
  "\"2026-00-01T00:00:00.000Z\"", "\"2026-01-00T00:00:00.000Z\"", "\"2026-01-32T00:00:00.000Z\"", "\"2026-05-01T24:00:00.000Z\"",
  "\"2026-05-01T24:00:01.000Z\"", "\"2026-05-01T23:60:00.000Z\"", "\"2026-12-31T23:59:60.000Z\"", "\"2016-12-31T23:59:60Z\"",
  "\"2026-05-01T20:18:48.682ZZ\"", "\" 2026-05-01T20:18:48.682Z\"", "\"1970-01-01T00:00:00.000Z\"", "\"1969-12-31T23:59:59.999Z\"",
  "\"9999-12-31T23:59:59.999Z\"", "\"+010000-01-01T00:00:00.000Z\"", "\"-000001-01-01T00:00:00.000Z\"", "\"0000-01-01T00:00:00.000Z\"",
  "\"+275760-09-13T00:00:00.000Z\"", "\"May 1, 2026\"", "\"1777458804809\"", "\"20260501T201848Z\"",
  "\"2026-05-01T20:18:48.682\\u005a\"", "\"\\u0032026-05-01T20:18:48.682Z\"",
];

const AROUND = [
  (value) => value,
  (value) => `{"pid":${value}}`,
  (value) => `{"pid":7,"starttime":${value}}`,
  (value) => `{"createdAt":${value},"pid":7,"startTime":9}`,
  (value) => `{"pid":7,"createdAtMs":${value}}`,
  (value) => `{"startedAt":${value}}`,
  (value) => `{"a":[${value}],"pid":7}`,
];

const TEXTS = [
  "", " ", "\n", "{}", " {} ", "\t\r\n {\t\r\n \"pid\"\t\r\n :\t\r\n 7\t\r\n }\t\r\n ", "{\"pid\":7}x", "{\"pid\":7}{", "{\"pid\":7}\0",
  "{\"pid\":7}\u000b", "{\"pid\":7}\f", "{\"pid\":7}\u0085", "{\"pid\":7}\u00a0", "\u00a0{}", "\u2028{}", "\u3000{}", "\ufeff{\"pid\":7}",
  "{\ufeff\"pid\":7}", "{\"pid\":7}\ufeff", "\ufeff", `{"pid":7}\n${"\t".repeat(8)}${" \t".repeat(64)}\n`,
  `{"pid":7}\n${"\t".repeat(8)}${"\t ".repeat(64)}`, "{\"pid\":7,\"pid\":8}", "{\"pid\":7,\"pid\":7}", "{\"pid\":7,\"p\\u0069d\":8}",
  "{\"p\\u0069d\":7}", "{\"\\u0070\\u0069\\u0064\":7,\"start\\u0074ime\":9}", "{\"PID\":7}", "{\"pid \":7}", "{\" pid\":7}", "{\"pid\\u0000\":7}",
  "{\"p\\id\":7}", "{\"a\":1,\"a\":2,\"pid\":7}", "{\"a\":{\"b\":1,\"b\":2},\"pid\":7}", "{\"\":1,\"pid\":7}", "{\"\":1,\"\":2,\"pid\":7}",
  "{\"\\ud83d\":1,\"\\ud83d\":2,\"pid\":7}", "{\"\\ud83d\":1,\"\\ud83e\":2,\"pid\":7}", "{\"\\ud83d\\ude00\":1,\"\u{1f600}\":2,\"pid\":7}",
  "{\"\\ud83d\":1,\"\\ufffd\":2,\"pid\":7}", "{\"__proto__\":{\"pid\":7}}", "{\"__proto__\":{\"pid\":8},\"pid\":7}", "{\"__proto__\":null,\"pid\":7}",
  "{\"__proto__\":[],\"__proto__\":{}}", "{\"constructor\":1,\"toString\":2,\"hasOwnProperty\":3,\"pid\":7}", "{\"toJSON\":1,\"pid\":7}",
  "{\"length\":1,\"0\":2,\"pid\":7}", "{pid:7}", "{'pid':7}", "{\"pid\"=7}", "{\"pid\":7;}", "{\"pid\":7,,}", "{,\"pid\":7}", "{\"pid\"}", "{\"pid\":}",
  "{\"pid\" 7}", "{7:7}", "{null:7}", "{[\"pid\"]:7}", "[{\"pid\":7}]", "{\"pid\":7]", "[\"pid\":7]", "{\"a\":[1,{\"b\":[2,{\"c\":3}]}],\"pid\":7}",
  "{\"a\":[1,{\"b\":[2,{\"c\":3}}],\"pid\":7}", "{\"a\":[[]],\"b\":[{}],\"c\":{\"d\":{}},\"pid\":7}", "{\"pid\":7}/* */", "#{}", "({})", "{}\n{}\n", "\0", "\0".repeat(64),
  "pid 7", "<html></html>", "{\"pid\":7,\"host\":\"a\\\"b\"}", "{\"pid\":7,\"host\":\"a\\\\\"}", "{\"pid\":7,\"host\":\"a\\\\\\\"}", "{\"createdAt\":1,\"startedAt\":2,\"pid\":7}",
  "{\"createdAt\":null,\"startedAt\":2,\"pid\":7}", "{\"pid\":7,\"starttime\":9,\"startTime\":8}", "{\"pid\":7,\"starttime\":null,\"startTime\":8}",
  ...[2, 127, 128, 129, 130].flatMap((depth) => [
    `${"[".repeat(depth)}7${"]".repeat(depth)}`,
    `${"{\"a\":".repeat(depth)}7${"}".repeat(depth)}`,
    `{"pid":7,"a":${"[".repeat(depth)}${"]".repeat(depth)}}`,
    `{"pid":7,"a":${"[".repeat(depth)}`,
  ]),
  "7:1777458804809\n", "7:1777458804809", "7:", "7:\n", "7", "7\n", ":5\n", "", " 7:5\n", "\u00a07:5\n", "\ufeff7:5\n", "\u00857:5\n", "\u180e7:5\n",
  "\u20287:5\u2029", "\u200b7:5\n", "7 :5\n", "+7:5\n", "-7:5\n", "07:5\n", "0:5\n", "000:5\n", "7.0:5\n", "7e1:5\n", "0x7:5\n", "7:x\n", "7::\n", "7:5:6\n",
  "x7:5\n", "7:5\n8:6\n", "\n\n7:5\n\n", "4194304:5\n", "4194305:5\n", "9007199254740993:5\n", `${"9".repeat(309)}:5\n`, "\u0664:5\n", "\uff17:5\n", "7\uff1a5\n",
  "7:9223372036854775808\n", "7:-5\n", "7:1e3\n", "7:5\0", "\u00007:5", "7\u0000:5",
];

const utf16 = (text) => Buffer.from(text, "utf16le");
const BYTES = [
  utf16("{\"pid\":7}"), utf16("{\"pid\":7}").swap16(), Buffer.concat([Buffer.from("fffe", "hex"), utf16("{\"pid\":7}")]),
  ...["ff", "fe", "80", "c0", "c080", "c3", "c328", "e2", "e28", "e282", "e28228", "eda080", "edb080", "eda0bdedb880", "f0", "f09f98", "f09f9880",
    "f4908080", "f8888080", "f09f", "e0808f", "c1bf", "efbbbf", "efbfbd", "efbfbe", "c2", "c2a0", "00"]
    .filter((hex) => hex.length % 2 === 0)
    .flatMap((hex) => [`7b22706964223a372c2261223a22${hex}227d`, `7b22${hex}223a312c22706964223a377d`, `7b22${hex}223a312c22${hex}${hex}223a312c22706964223a377d`,
      `7b22${hex}223a312c22efbfbd223a312c22706964223a377d`, `${hex}7b22706964223a377d`, `7b22706964223a377d${hex}`, `7b22706964${hex}223a377d`, `7b22706964223a37${hex}7d`])
    .map((hex) => Buffer.from(hex, "hex")),
];

// --- fixtures, changed at each byte

const at = (bytes, index) => [bytes.subarray(0, index), bytes.subarray(index, index + 1), bytes.subarray(index + 1)];
const xor = (bits) => (bytes, index) => {
  const changed = Buffer.from(bytes);
  changed[index] ^= bits;
  return changed;
};
const put = (byte) => (bytes, index) => Buffer.concat([bytes.subarray(0, index), Buffer.from([byte]), bytes.subarray(index)]);
const changes = {
  cut: (bytes, index) => bytes.subarray(0, index),
  escape: (bytes, index) => {
    const [before, byte, after] = at(bytes, index);
    return Buffer.concat([before, Buffer.from(`\\u${byte[0].toString(16).padStart(4, "0")}`), after]);
  },
  drop: (bytes, index) => {
    const [before, , after] = at(bytes, index);
    return Buffer.concat([before, after]);
  },
  twice: (bytes, index) => {
    const [before, byte, after] = at(bytes, index);
    return Buffer.concat([before, byte, byte, after]);
  },
  "xor-01": xor(0x01),
  "xor-02": xor(0x02),
  "xor-10": xor(0x10),
  "xor-20": xor(0x20),
  "xor-80": xor(0x80),
  "put-22": put(0x22),
  "put-2c": put(0x2c),
  "put-5c": put(0x5c),
};
// Every record is changed in these ways, and one of each shape in all.
const EVERY = ["cut", "escape"];

function* records(dir) {
  for (const entry of readdirSync(dir, { withFileTypes: true }).sort((one, other) => (one.name < other.name ? -1 : 1))) {
    if (entry.isDirectory()) yield* records(join(dir, entry.name));
    else if (entry.name !== "note.json") yield join(dir, entry.name);
  }
}

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

const literal = [...TEXTS, ...VALUES.flatMap((value) => AROUND.map((around) => around(value)))].map((text) => Buffer.from(text, "utf8"));
const seen = new Set();
for (const bytes of [...literal, ...BYTES]) {
  const hex = bytes.toString("hex");
  if (!seen.has(hex)) print({ hex, json: json(bytes), line: line(bytes) });
  seen.add(hex);
}

const [contents, shapes] = [new Set(), new Set()];
for (const path of ["constructed", "records"].flatMap((part) => [...records(join(fixtures, part))])) {
  const bytes = readFileSync(path);
  const [content, shape] = [bytes.toString("latin1"), decode(bytes).replace(/[0-9]/g, "0").replace(/[\t ]{9,}/, "")];
  if (bytes.length === 0 || contents.has(content)) continue;
  const read = content.startsWith("{") ? json : line;
  for (const [how, change] of Object.entries(changes)) {
    if (shapes.has(shape) && !EVERY.includes(how)) continue;
    const [answers, said] = [[], []];
    for (let index = 0; index < bytes.length; index += 1) {
      const answer = read(change(bytes, index));
      if (!answers.includes(answer)) answers.push(answer);
      const number = answers.indexOf(answer);
      const last = said.at(-1);
      if (last?.number === number) last.times += 1;
      else said.push({ number, times: 1 });
    }
    const runs = said.map(({ number, times }) => (times === 1 ? `${number}` : `${number}*${times}`)).join(" ");
    print({ of: relative(fixtures, path), how, answers, said: runs });
  }
  contents.add(content);
  shapes.add(shape);
}
