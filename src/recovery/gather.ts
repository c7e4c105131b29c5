/** Everything that a plan is made from: what good content is at hand for what was found. Changes nothing. */
import type { AuditResult } from '../audit/audit.ts';
import type { Config } from '../config/settings.ts';
import type { Database } from '../dpkg/database.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import type { Finding } from '../model/finding.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { Store } from '../snapshot/store.ts';
import { listTransactions } from '../snapshot/transaction/record.ts';
import type { Root } from '../system/root.ts';
import { planDatabaseMends } from './database/plan.ts';
import type { DatabasePlan, DatabaseSources } from './database/sources.ts';
import { standardSources } from './database/standard-sources.ts';
import { isAboutFile, solveFiles } from './files.ts';
import type { PlanInput, Reinstall } from './plan.ts';
import { toolPackages } from './programs/closure.ts';
import { examineRedo, type Redo } from './redo/redo.ts';
import { type Regeneration, regeneration } from './regenerate.ts';
import { trackedDamage } from './tracked-damage.ts';
import { touchedSince } from './unverified.ts';

export interface GatherOptions {
  readonly root: Root;
  readonly store: Store;
  readonly config: Config;
  readonly lastAlive: number | undefined;
}

export interface Progress {
  /** Transactions that were done once more already: what is still wrong with their packages is like anything else. */
  readonly redone: { has(id: string): boolean };
  /** Whether a repair of the filesystem took things away. */
  readonly repaired: boolean;
  /** Whether a download was tried and failed: what needs one is done another way, or later. */
  readonly offline: boolean;
}

/** @throws DebmendError of reading the database; an error of SQLite */
export async function gather(
  options: GatherOptions,
  found: AuditResult,
  progress: Progress,
): Promise<PlanInput> {
  const { root, store } = options;
  const sources = standardSources(root, store, { admindir: found.database.admindir.inside });
  try {
    return await gatherFrom(sources, options, found, progress);
  } finally {
    sources.close();
  }
}

async function gatherFrom(
  sources: DatabaseSources,
  { root, store, config, lastAlive: alive }: GatherOptions,
  { database, findings }: AuditResult,
  progress: Progress,
): Promise<PlanInput> {
  const damaged = findings.some(({ code }) => code.startsWith('database-') || code.startsWith('apt-'));
  const nothing: DatabasePlan = { mends: [], unmended: [], reinstall: [] };
  const mending = damaged ? await planDatabaseMends(root, database, sources) : nothing;
  const redos: Redo[] = [];
  for (const transaction of listTransactions(store, 'interrupted')) {
    if (progress.redone.has(transaction.id)) continue;
    const lastAlive = alive ?? Date.parse(transaction.runs.at(-1)?.at ?? transaction.startedAt);
    const redo = await examineRedo(store, root, config, transaction, lastAlive);
    const waits = redo.missing.length > 0 && progress.offline;
    redos.push(waits ? { ...redo, impossible: 'archives are missing, and there is no network' } : redo);
  }
  const archive = async (name: string, version: string, architecture: string): Promise<string | undefined> =>
    (await sources.archive(name, version, architecture))?.file;
  const wanted = findings.filter(isAboutFile);
  return {
    findings,
    policy: config.recovery,
    mends: mending.mends,
    unmendable: unmendable(findings, mending),
    redos,
    reinstalls: await reinstallsOf(database, mending, lostInstallation(store, database), sources),
    solutions: await solveFiles({ root, database, store, archive }, wanted),
    tracked: await trackedDamage(root, store, progress.repaired),
    regenerations: new Map(
      findings.flatMap((finding): [Finding, Regeneration][] => {
        const made = regeneration(finding);
        return made === undefined ? [] : [[finding, made]];
      }),
    ),
    untouchable: new Set(
      mending.unmended
        .filter(({ problem }) => problem.code.startsWith('database-script'))
        .map(({ problem }) => bytesToText(problem.package ?? '')),
    ),
    tools: new Set(toolPackages(database.admindir, ['apt']).map(bytesToText)),
  };
}

function unmendable(findings: readonly Finding[], { unmended }: DatabasePlan): Map<Finding, string> {
  const known = new Map(
    unmended.map(({ problem, why }) => [`${problem.code} ${pathToText(problem.file)}`, why]),
  );
  return new Map(
    findings.flatMap((finding): [Finding, string][] => {
      const why = known.get(`${finding.code} ${finding.path ?? ''}`);
      return why === undefined ? [] : [[finding, why]];
    }),
  );
}

const TOUCHED =
  'an installation whose record the disk lost had to do with it: unpacked once more, all of it is what its version has';

/** What such installations had to do with, of which nothing else tells. */
function lostInstallation(store: Store, database: Database): ReadonlySet<Package> {
  return new Set(
    listTransactions(store, 'interrupted')
      .filter(({ origin }) => origin === 'rebuilt')
      .flatMap(({ startedAt }) => touchedSince(database, Date.parse(startedAt))),
  );
}

/** Packages that only unpacking once more mends, each at the exact version that it was to have. */
async function reinstallsOf(
  database: Database,
  mending: DatabasePlan,
  touched: ReadonlySet<Package>,
  sources: DatabaseSources,
): Promise<Reinstall[]> {
  const wanted = new Map<string, Reinstall>();
  for (const pkg of database.packages) {
    const halfway = pkg.state === 'half-installed' || pkg.flag === 'reinstreq';
    const mend = mending.reinstall.find(
      ({ name, architecture }) => name === pkg.name && architecture === pkg.architecture,
    );
    if (!halfway && mend === undefined && !touched.has(pkg)) continue;
    // To be removed is no reason to be installed: dpkg goes on with that when it is told to.
    if (pkg.want === 'deinstall' || pkg.want === 'purge') continue;
    const display = displayName(pkg, database.native);
    const version = mend?.version ? mend.version : pkg.version;
    wanted.set(display, {
      package: bytesToText(display),
      name: pkg.name,
      version: bytesToText(version),
      why: mend?.why ?? (halfway ? 'its unpacking was interrupted' : TOUCHED),
      archive:
        version === '' ? undefined : (await sources.archive(pkg.name, version, pkg.architecture))?.file,
    });
  }
  return [...wanted.values()];
}
