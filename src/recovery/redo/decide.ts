/**
 * Which packages of an interrupted transaction are installed or removed once more. Across a crash that is all of them:
 * what their maintainer scripts wrote was never synced, whatever dpkg's records say. In the same boot nothing that was
 * written is lost, and a package that came to where it was meant to come stays.
 */
import type { Package } from '../../dpkg/package.ts';
import type { IntendedPackageRecord, Transaction, TransactionRun } from '../../model/transaction.ts';
import { bytesFromText } from '../../system/bytes.ts';

export interface RedoPackage {
  readonly record: IntendedPackageRecord;
  /** The run that has it first, of those that were not sealed. */
  readonly run: number;
  readonly why: 'unfinished' | 'suspect';
  /** A removal that the disk forgot, at least in part: it goes back to before like an installation. */
  readonly forgotten: boolean;
}

export interface Decision {
  /** In the order of the runs, and in each in the order that the front end gave. */
  readonly packages: readonly RedoPackage[];
  /** Of those that came to their end in this boot, which nothing has to be done for. */
  readonly finished: readonly IntendedPackageRecord[];
  /** Whether the machine was started anew since. */
  readonly crashed: boolean;
}

export interface Circumstances {
  /** Those that were not sealed. */
  readonly runs: readonly TransactionRun[];
  /** Names that a later transaction brought to its own end: they are that one's now. */
  readonly later: ReadonlySet<string>;
  /** dpkg's present records. */
  readonly now: readonly Package[];
  /** The present boot's id. */
  readonly boot: string | undefined;
  /** What the end of a removal is in a run. */
  readonly ends: RemovalEnds;
  /** Whether files of a removed package are back or were never gone, or its record is (came-back.ts). */
  readonly isForgotten: (record: IntendedPackageRecord, run: number) => boolean;
}

export function decideRedo(
  transaction: Transaction,
  { runs, later, now, boot, ends, isForgotten }: Circumstances,
): Decision {
  const crashed = transaction.boot !== boot;
  const packages: RedoPackage[] = [];
  const finished: IntendedPackageRecord[] = [];
  runs.forEach((one, run) => {
    for (const record of one.packages) {
      if (later.has(record.name)) continue;
      const reached = isReached(record, now, ends(one));
      const removal = record.action === 'remove';
      const forgotten = removal && crashed && isForgotten(record, run);
      // A removal goes on from where it is: what its scripts deleted is gone for good, and dpkg's list of what is
      // left was written before. Where the disk keeps the order, dpkg's own record of its end is there only after that.
      if (reached && (!crashed || (removal && !forgotten))) {
        finished.push(record);
        continue;
      }
      const first = packages.find(
        ({ record: { name, architecture } }) => name === record.name && architecture === record.architecture,
      );
      packages.push({ record, run: first?.run ?? run, why: reached ? 'suspect' : 'unfinished', forgotten });
    }
  });
  return { packages, finished, crashed };
}

/** Whether a package of a transaction puts files in place. */
export function bringsFiles({ record }: RedoPackage): boolean {
  switch (record.action) {
    case 'install':
    case 'upgrade':
    case 'downgrade':
    case 'reinstall':
      return true;
    case 'remove':
    case 'configure':
      return false;
  }
}

/** Whether nothing of a package that was to be removed stays: only its conffiles and postrm keep a record of it. */
export type RemovalEnd = (pkg: Package) => 'gone' | 'config-files';
export type RemovalEnds = (run: TransactionRun) => RemovalEnd;

/**
 * Whether a package is where the transaction was to bring it.
 *
 * @param end of a removal
 */
export function isReached(record: IntendedPackageRecord, now: readonly Package[], end: RemovalEnd): boolean {
  const name = bytesFromText(record.name);
  const architecture = bytesFromText(record.architecture);
  const instances = now.filter(
    (pkg) =>
      pkg.name === name &&
      (architecture === '' ||
        architecture === 'all' ||
        pkg.architecture === architecture ||
        pkg.architecture === 'all'),
  );
  if (record.action === 'remove') {
    return instances.every(
      (pkg) => pkg.state === 'not-installed' || (pkg.state === 'config-files' && end(pkg) === 'config-files'),
    );
  }
  return instances.some(
    ({ state, flag, version }) =>
      flag === 'ok' &&
      // With triggers to come the package itself is done: configuring what is pending does the rest.
      (state === 'installed' || state === 'triggers-awaited' || state === 'triggers-pending') &&
      (record.newVersion === undefined || version === bytesFromText(record.newVersion)),
  );
}
