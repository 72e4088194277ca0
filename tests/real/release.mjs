// Finds functions in a released openclaw package: `dist/` is bundled under hashed file names, and what a
// chunk exports has one-letter aliases.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

export const RUNTIME_DEPS_LOCK = ".openclaw-runtime-deps.lock";

const chunks = (packageDir) =>
  fs
    .readdirSync(path.join(packageDir, "dist"))
    .filter((name) => /\.m?js$/.test(name))
    .sort()
    .map((name) => `dist/${name}`);

const read = (packageDir, chunk) => fs.readFileSync(path.join(packageDir, chunk), "utf8");

// The chunk that defines and exports a function or class, as { chunk, alias, fn }; null where none does.
export async function exported(packageDir, name) {
  for (const chunk of chunks(packageDir)) {
    const text = read(packageDir, chunk);
    if (!text.includes(`function ${name}(`) && !text.includes(`var ${name} = class`)) continue;
    const alias = text.match(new RegExp(`^export \\{.*\\b${name}(?: as ([\\w$]+))?\\b.*\\};$`, "m"));
    if (!alias) continue;
    const module = await import(pathToFileURL(path.join(packageDir, chunk)));
    return { chunk, alias: alias[1] ?? name, fn: module[alias[1] ?? name] };
  }
  return null;
}

// A way to run something under this release's own lock, as { hold, chunk, alias, how }.
// `hold(installRoot, run)` calls run() while the lock is held.
export async function lockOf(packageDir, lockName) {
  if (!chunks(packageDir).some((chunk) => read(packageDir, chunk).includes(`"${lockName}"`))) {
    throw new Error(`this release has no lock named ${lockName}`);
  }
  const lock = await exported(packageDir, "withBundledRuntimeDepsFilesystemLock");
  if (lock) {
    return {
      ...lock,
      how: "withBundledRuntimeDepsFilesystemLock(installRoot, lockName, run)",
      hold: (installRoot, run) => lock.fn(installRoot, lockName, run),
    };
  }
  // 2026.4.24 keeps its lock function to itself; its repair runs a caller's installer under that lock.
  const repair = await exported(packageDir, "repairBundledRuntimeDepsInstallRoot");
  if (!repair || lockName !== RUNTIME_DEPS_LOCK) throw new Error(`no way to take ${lockName} in this release`);
  return {
    ...repair,
    how: "repairBundledRuntimeDepsInstallRoot({ installRoot, missingSpecs: [], installSpecs: [], installDeps: run })",
    hold: (installRoot, run) => repair.fn({ installRoot, missingSpecs: [], installSpecs: [], installDeps: run }),
  };
}

// The install root that this release computes for its own package directory in the present environment.
export async function installRootOf(packageDir) {
  const root = await exported(packageDir, "resolveBundledRuntimeDependencyPackageInstallRoot");
  if (root) return root.fn(packageDir);
  // 2026.4.30-beta.1 exports only the plan for a plugin.
  const plan = await exported(packageDir, "resolveBundledRuntimeDependencyInstallRootPlan");
  return plan.fn(path.join(packageDir, "dist", "extensions", "any")).installRoot;
}
