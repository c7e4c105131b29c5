/** `debmend fsck run` and `debmend fsck return`: parse, call, render. */
import { join } from 'node:path';
import { whileLocked } from '../dpkg/locked.ts';
import type { FilesystemType, RepairHow } from '../fsck/run.ts';
import type { FsckRun } from '../model/fsck-run.ts';
import type { LostFound } from '../model/lost-found.ts';
import { runFsck } from '../recovery/filesystem.ts';
import { proposeReturns, returnLost } from '../recovery/lost-found.ts';
import { fsckRunPage, lostFoundPage } from '../report/fsck-run.ts';
import { inventory } from '../report/inventory.ts';
import { withStoreCopy } from '../snapshot/copy.ts';
import { storeDirectory } from '../snapshot/store.ts';
import { bytesFromText } from '../system/bytes.ts';
import { Root } from '../system/root.ts';
import { EXIT } from './exit-codes.ts';
import { interruptible } from './interruption.ts';
import { openRoot } from './root.ts';
import { runStore } from './runs.ts';
import { withStore } from './store.ts';

interface RunArguments {
  readonly root?: string;
  readonly mountPoint?: string;
  /** False for --no-mount. */
  readonly mount: boolean;
  /** False for --no-undo. */
  readonly undo: boolean;
  readonly type?: FilesystemType;
  readonly scratch?: string;
  /** True without a word. */
  readonly repair?: RepairHow | true;
  readonly store?: string;
  readonly json?: boolean;
  readonly all?: boolean;
}

/** @throws DebmendError */
export async function fsckRun(path: string, options: unknown): Promise<number> {
  const args = options as RunArguments;
  const root = args.root === undefined ? undefined : openRoot(args.root);
  const here = new Root('/');
  const run = await interruptible((signal) =>
    runFsck({
      path,
      type: args.type,
      root,
      mountPoint: args.mountPoint === undefined ? undefined : bytesFromText(args.mountPoint),
      mount: args.mount,
      scratch: args.scratch,
      repair: args.repair === true ? 'preen' : args.repair,
      keepIn: args.undo ? join(args.store ?? storeDirectory(here), 'fsck') : null,
      signal,
      // On a terminal only: a check may take hours, and says nothing until then.
      say: process.stderr.isTTY ? (line) => process.stderr.write(`${line}\n`) : undefined,
    }),
  );
  process.stdout.write(
    args.json === true
      ? `${JSON.stringify(inventory(root ?? here, { fsck: run }), undefined, 2)}\n`
      : fsckRunPage(run, page(args)),
  );
  return exitOf(run);
}

function exitOf({ check, after, lostFound }: FsckRun): number {
  const { state, findings } = after ?? check;
  if (state === 'unfinished') return EXIT.failed;
  // What lies in lost+found still needs a hand.
  if (lostFound !== undefined && lostFound.returns.length + lostFound.stays.length > 0) return EXIT.findings;
  return findings.some(({ severity }) => severity !== 'info') ? EXIT.findings : EXIT.sound;
}

interface ReturnArguments {
  readonly root: string;
  readonly apply?: boolean;
  readonly store?: string;
  readonly json?: boolean;
  readonly all?: boolean;
}

/** @throws DebmendError */
export async function fsckReturn(options: unknown): Promise<number> {
  const args = options as ReturnArguments;
  const root = openRoot(args.root);
  const command = ['debmend', ...process.argv.slice(2)];
  const found =
    args.apply === true
      ? await withStore(root, args.store, (store) =>
          whileLocked(root, () => returnLost({ root, store, runs: runStore(root, args.store), command })),
        )
      : await withStoreCopy(root, args.store, (store) => proposeReturns({ root, store }));
  process.stdout.write(
    args.json === true
      ? `${JSON.stringify(inventory(root, { lostFound: found }), undefined, 2)}\n`
      : `${lostFoundPage(found, page(args))}${hint(found)}`,
  );
  const failed = found.returns.some(({ outcome }) => outcome === 'failed');
  if (failed) return EXIT.failed;
  return found.stays.length > 0 || (!found.applied && found.returns.length > 0) ? EXIT.findings : EXIT.sound;
}

function hint({ applied, returns }: LostFound): string {
  return applied || returns.length === 0
    ? ''
    : 'nothing was changed; --apply does it, and debmend undo takes it back\n';
}

function page({ all }: { readonly all?: boolean }) {
  return { colour: process.stdout.hasColors?.() === true && !process.env['NO_COLOR'], all: all === true };
}
