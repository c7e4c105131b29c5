/** `debmend plan` and `debmend recover`: parse, call, render. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { audit, compareFindings } from '../audit/audit.ts';
import { loadConfig } from '../config/config.ts';
import type { Config } from '../config/settings.ts';
import { checkFindings, type Settled, settleAtStart, settleChecks } from '../fsck/schedule.ts';
import type { Outage } from '../model/outage.ts';
import { pathToText } from '../model/path-text.ts';
import type { Recovery } from '../model/recovery.ts';
import type { Report } from '../model/report.ts';
import { assessOutage, lastAlive } from '../outage/assess.ts';
import { unfinishedRuns } from '../recovery/actions.ts';
import { runDirectory } from '../recovery/journal.ts';
import { lostDatabases } from '../recovery/lost-database.ts';
import { type ReturnedStore, returnLostStore } from '../recovery/lost-store.ts';
import { type RecoverResult, recover } from '../recovery/recover.ts';
import { requestLines, stepLines } from '../report/checks.ts';
import { recoverReport } from '../report/document.ts';
import { outageHead } from '../report/outage.ts';
import { renderRecovery } from '../report/recovery.ts';
import type { Store } from '../snapshot/store.ts';
import { listTransactions } from '../snapshot/transaction/record.ts';
import { writeDurably } from '../system/durable.ts';
import { messageOf } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { EXIT } from './exit-codes.ts';
import { interruptible } from './interruption.ts';
import { startProgress } from './progress.ts';
import { openRoot } from './root.ts';
import { withStore } from './store.ts';

interface RecoverArguments {
  readonly root: string;
  readonly apply?: boolean;
  readonly service?: boolean;
  readonly json?: boolean;
  readonly store?: string;
  readonly config?: string;
  readonly all?: boolean;
  /** Seconds. */
  readonly wait?: number;
}

/** Something that waits for the network: debmend-retry.timer looks for it. */
const RETRY = 'retry';

/** @throws DebmendError */
export async function planCommand(options: unknown): Promise<number> {
  return await recoverCommand({ ...(options as RecoverArguments), apply: false, service: false });
}

/** @throws DebmendError */
export async function recoverCommand(options: unknown): Promise<number> {
  const args = options as RecoverArguments;
  const root = openRoot(args.root);
  const config = await loadConfig(args.config);
  const mode: Recovery['mode'] =
    args.service === true ? 'service' : args.apply === true ? 'apply' : 'dry-run';
  const startedAt = new Date();
  const started = performance.now();
  const page = {
    colour: process.stdout.hasColors?.() === true && !process.env['NO_COLOR'],
    // A serial console often says that it has 0 columns, which means that it does not know.
    width: process.stdout.columns || Number.POSITIVE_INFINITY,
    all: args.all === true,
  };
  const isReturned = args.store === undefined && mayRepair(mode, config) && (await isStoreReturned(root));
  return await withStore(root, args.store, async (store) => {
    // The verdict comes first, within a second; the full audit takes its time.
    const outage = await assessOutage(root, store.directory, mode !== 'dry-run');
    if (args.json !== true) process.stdout.write(`${outageHead(outage, page)}\n`);
    const checks = await settledChecks(root, store, mode);
    if (args.json !== true) say(checks.news.flatMap(requestLines));
    if (mode === 'service' && (await isQuiet(root, store, outage))) {
      process.stdout.write('nothing was interrupted: the weekly audit reads the files\n');
      return checkFindings(checks.news).length > 0 ? EXIT.findings : EXIT.sound;
    }
    const progress = startProgress();
    try {
      const recovering = (signal: AbortSignal) =>
        recover({
          root,
          store,
          config,
          mode,
          command: ['debmend', ...process.argv.slice(2)],
          lastAlive: lastAlive(outage),
          outage: outage.verdict,
          repaired: isReturned,
          lockWait: (args.wait ?? 0) * 1000,
          signal,
          onProgress: progress?.update,
          say: args.json === true ? undefined : (line) => process.stdout.write(`${line}\n`),
        });
      const recovered = await interruptible(recovering);
      progress?.stop();
      const findings = [...recovered.after.findings, ...checkFindings(checks.news)].sort(compareFindings);
      const result = { ...recovered, after: { ...recovered.after, findings } };
      // Read again: what was asked for by this very recovery stands there too.
      const asked = (await settleChecks({ root, directory: store.directory, boot: store.boot }, false))
        .checks;
      const report = recoverReport(
        result,
        outage,
        {
          root,
          scope: { quick: false, packages: [], paths: [], archives: [] },
          startedAt,
          seconds: (performance.now() - started) / 1000,
        },
        asked,
      );
      keep(store, result, report, mode);
      process.stdout.write(
        args.json === true ? `${JSON.stringify(report, undefined, 2)}\n` : renderRecovery(report, page),
      );
      if (args.json !== true) say((report.checks?.steps ?? []).flatMap((step) => stepLines(step, false)));
      return exitCode(result);
    } finally {
      progress?.stop();
    }
  });
}

function mayRepair(mode: Recovery['mode'], { recovery }: Config): boolean {
  return mode === 'apply' || (mode === 'service' && recovery.policy === 'repair');
}

/** Before it is opened: a repair of the filesystem may have put it into lost+found. */
async function isStoreReturned(root: Root): Promise<boolean> {
  let returned: ReturnedStore | undefined;
  try {
    returned = await returnLostStore(root);
  } catch (error) {
    // Without it everything goes on, and nothing is lost: it stays where it is.
    process.stderr.write(`debmend: returning debmend's own store from lost+found: ${messageOf(error)}\n`);
  }
  if (returned === undefined) return false;
  process.stderr.write(
    `debmend: a repair of the filesystem had put debmend's own store into ${pathToText(returned.from)}; that is ${pathToText(returned.to)} again\n`,
  );
  return true;
}

/** What came of checks that were asked for; only a recovery that changes something writes it down. */
async function settledChecks(root: Root, store: Store, mode: Recovery['mode']): Promise<Settled> {
  const context = { root, directory: store.directory, boot: store.boot };
  return mode === 'dry-run' ? await settleChecks(context, false) : await settleAtStart(context);
}

function say(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

/**
 * Whether a start after an orderly end has nothing to do: no outage, no installation without an end, nothing that waits,
 * and states as dpkg leaves them. Reading every file at every start would be the disk's whole work for minutes.
 */
async function isQuiet(root: Root, store: Store, { verdict }: Outage): Promise<boolean> {
  if (verdict !== 'clean' && verdict !== 'not-applicable') return false;
  if (existsSync(store.file(RETRY)) || unfinishedRuns(store).length > 0) return false;
  if (listTransactions(store, 'interrupted').length > 0 || lostDatabases(root).length > 0) return false;
  const { findings } = await audit({
    root,
    scope: { packages: [], paths: [] },
    quick: true,
    archives: [],
    leftoverGlobs: [],
    ignoreLock: true,
  });
  return findings.every(({ severity }) => severity === 'info' || severity === 'warning');
}

/** The report lies beside the journal of its run; what waits for the network is marked for the timer. */
function keep(store: Store, { recovery }: RecoverResult, report: Report, mode: Recovery['mode']): void {
  if (mode === 'dry-run') return;
  if (recovery.run !== undefined)
    writeDurably(`${runDirectory(store, recovery.run)}/report.json`, `${JSON.stringify(report)}\n`, 0o600);
  mkdirSync(store.directory, { recursive: true, mode: 0o700 });
  if (recovery.retry && recovery.outcome === 'incomplete') writeDurably(store.file(RETRY), '\n', 0o600);
  else rmSync(store.file(RETRY), { force: true });
}

function exitCode({ recovery }: RecoverResult): number {
  switch (recovery.outcome) {
    case 'nothing-to-do':
    case 'mended':
      return EXIT.sound;
    case 'planned':
    case 'incomplete':
      return EXIT.findings;
  }
}
