/** `debmend undo`: parse, call, render. */

import { whileLocked } from '../dpkg/locked.ts';
import { undoRun } from '../recovery/actions.ts';
import { inventory } from '../report/inventory.ts';
import { undoPage } from '../report/run.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';
import { runStore } from './runs.ts';

interface Options {
  readonly root: string;
  readonly json?: boolean;
  readonly store?: string;
  readonly apply?: boolean;
}

/** @throws DebmendError */
export async function undoCommand(id: string, options: unknown): Promise<number> {
  const args = options as Options;
  const root = openRoot(args.root);
  const store = runStore(root, args.store);
  const apply = args.apply === true;
  const work = () => undoRun(store, root, id, { apply, command: process.argv.slice(2) });
  const undo = apply ? await whileLocked(root, work) : work();
  process.stdout.write(
    args.json === true ? `${JSON.stringify(inventory(root, { undo }), undefined, 2)}\n` : undoPage(undo),
  );
  if (undo.actions.some(({ outcome }) => outcome === 'failed')) return EXIT.failed;
  const left = undo.actions.some(({ outcome }) => outcome === 'changed-since' || outcome === 'impossible');
  return left ? EXIT.findings : EXIT.sound;
}
