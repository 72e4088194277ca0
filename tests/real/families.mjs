// How each lock family of OpenClaw is made to take its lock by a release's own code.
//
// Every entry: lock(release) is the path of the lock; take({ packageDir, release, lock }) makes the release take
// it, and describes the call as { how, chunk, export }, with `started` for its promise. What the release does under
// its lock does not matter: hold-family.mjs keeps it from being removed.
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { exported } from "./release.mjs";

const state = "/home/node/.openclaw";
const sessions = `${state}/agents/main/sessions`;
const agent = `${state}/agents/main/agent`;
const installed = "/home/node/.npm-global/lib/node_modules/openclaw";
const sandbox = "openclaw-sbx-agent-main";
const session = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

// A pid that no process of the container has: its pids end far below, and a kernel's largest pid is 4194304.
const NO_PID = 4194303;

async function call(packageDir, name, args, shown) {
  const found = await exported(packageDir, name);
  if (!found) throw new Error(`${name} is not exported by this release`);
  return { started: found.fn(...args), how: `${name}(${shown})`, chunk: found.chunk, export: found.alias };
}

// The public name, resolved by the package's own `exports`.
async function takeFileLock(target) {
  const { acquireFileLock } = await import("openclaw/plugin-sdk/file-lock");
  const options = { retries: { retries: 10, factor: 2, minTimeout: 100, maxTimeout: 1000 }, stale: 30000 };
  return {
    started: acquireFileLock(target, options),
    how: `acquireFileLock("${target}", { retries, stale: 30000 })`,
    chunk: "openclaw/plugin-sdk/file-lock",
    export: "acquireFileLock",
  };
}

// Whether this release is at least that one; both as 2026.M.P, with or without a suffix.
function since(release, first) {
  const [month, patch] = release.split(/[.-]/).slice(1).map(Number);
  const [firstMonth, firstPatch] = first.split(/[.-]/).slice(1).map(Number);
  return month > firstMonth || (month === firstMonth && patch >= firstPatch);
}

export const FAMILIES = {
  "session-write": {
    lock: () => `${sessions}/${session}.jsonl.lock`,
    take: ({ packageDir, lock }) =>
      call(packageDir, "acquireSessionWriteLock", [{ sessionFile: lock.replace(/\.lock$/, "") }], "{ sessionFile }"),
  },
  "session-store": {
    lock: () => `${sessions}/sessions.json.lock`,
    take: ({ packageDir, lock }) =>
      call(
        packageDir,
        "updateSessionStore",
        [lock.replace(/\.lock$/, ""), () => new Promise(() => {})],
        "sessions.json, mutator",
      ),
  },
  "sandbox-registry": {
    // Releases of 2026.5 keep a file for every container, named by the hash of the container's name.
    lock: (release) =>
      since(release, "2026.5.1")
        ? `${state}/sandbox/containers/${createHash("sha256").update(sandbox).digest("hex")}.json.lock`
        : `${state}/sandbox/containers.json.lock`,
    async take({ packageDir, release }) {
      const entry = { containerName: sandbox, sessionKey: "agent:main", createdAtMs: 0, lastUsedAtMs: 0, image: "sandbox" };
      fs.mkdirSync(`${state}/sandbox`, { recursive: true });
      if (!since(release, "2026.5.1")) fs.writeFileSync(`${state}/sandbox/containers.json`, '{"entries":[]}\n');
      return call(packageDir, "updateRegistry", [entry], "entry");
    },
  },
  "file-lock": {
    // Later releases keep their credentials in SQLite, but still lock their configuration.
    lock: (release) => (since(release, "2026.7.1") ? `${state}/openclaw.json.lock` : `${agent}/auth-profiles.json.lock`),
    take: ({ lock }) => takeFileLock(lock.replace(/\.lock$/, "")),
  },
  "reclaim-guard": {
    lock: () => `${state}/locks/oauth-refresh/sha256-${"5e".repeat(32)}.lock.reclaim`,
    take({ lock }) {
      // What a killed holder leaves: the release finds it stale, and guards the moment in which it removes it.
      fs.mkdirSync(path.dirname(lock), { recursive: true });
      const left = { pid: NO_PID, createdAt: "2026-01-01T00:00:00.000Z", starttime: 1 };
      fs.writeFileSync(lock.replace(/\.reclaim$/, ""), `${JSON.stringify(left, null, 2)}\n`);
      return takeFileLock(lock.replace(/\.lock\.reclaim$/, ""));
    },
  },
  "proper-lockfile": {
    lock: () => `${agent}/auth.json.lock`,
    async take({ packageDir, lock }) {
      const found = await exported(packageDir, "FileAuthStorageBackend");
      if (!found) throw new Error("FileAuthStorageBackend is not exported by this release");
      const storage = new found.fn(lock.replace(/\.lock$/, ""));
      return {
        started: storage.withLockAsync(() => new Promise(() => {})),
        how: "new FileAuthStorageBackend(auth.json).withLockAsync(run)",
        chunk: found.chunk,
        export: found.alias,
      };
    },
  },
  "short-term-promotion": {
    lock: () => `${state}/workspace/memory/.dreams/short-term-promotion.lock`,
    take({ packageDir }) {
      const results = [
        { source: "memory", path: "memory/2026-01-01.md", startLine: 1, endLine: 2, score: 0.9, snippet: "a note of the day" },
      ];
      const recall = { workspaceDir: `${state}/workspace`, query: "note", results };
      return call(packageDir, "recordShortTermRecalls", [recall], "{ workspaceDir, query, results }");
    },
  },
  "usage-cost": {
    lock: () => `${sessions}/.usage-cost-cache.json.lock`,
    take({ packageDir }) {
      fs.mkdirSync(sessions, { recursive: true });
      const header = { type: "session", version: 3, id: session, timestamp: "2026-01-01T00:00:00.000Z", cwd: "/home/node" };
      fs.writeFileSync(`${sessions}/${session}.jsonl`, `${JSON.stringify(header)}\n`);
      const range = { startMs: 0, endMs: Date.now(), agentId: "main", refreshMode: "sync-when-empty" };
      return call(packageDir, "loadCostUsageSummaryFromCache", [range], "{ startMs, endMs, agentId, refreshMode }");
    },
  },
  "package-lifecycle": {
    lock: () => `${installed}/.openclaw-lifecycle-lock`,
    take({ packageDir }) {
      // What it needs of a package whose install scripts have not been run.
      fs.mkdirSync(installed, { recursive: true });
      fs.writeFileSync(`${installed}/package.json`, '{"name":"openclaw"}\n');
      fs.writeFileSync(`${installed}/.openclaw-lifecycle-pending`, "pending\n");
      const work = { packageRoot: installed, runScript: () => new Promise(() => {}) };
      return call(packageDir, "completePendingPackageLifecycle", [work], "{ packageRoot, runScript }");
    },
  },
  "config-clobber": {
    lock: () => `${state}/openclaw.json.clobber.lock`,
    take({ packageDir }) {
      fs.mkdirSync(state, { recursive: true });
      const deps = { fs, logger: { warn() {}, error() {} } };
      const snapshot = { configPath: `${state}/openclaw.json`, raw: "{", observedAt: "2026-01-01T00:00:00.000Z", deps };
      return call(packageDir, "persistBoundedClobberedConfigSnapshot", [snapshot], "{ configPath, raw, observedAt, deps }");
    },
  },
  "exec-approvals": {
    lock: () => `${state}/exec-approvals.json.lock`,
    take({ packageDir }) {
      fs.mkdirSync(state, { recursive: true, mode: 0o700 });
      return call(packageDir, "ensureExecApprovals", [], "");
    },
  },
};
