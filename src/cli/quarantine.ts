/** `debmend quarantine`: parse, call, render. */

import { whileLocked } from '../dpkg/locked.ts';
import { pathForTerminal } from '../model/path-text.ts';
import type { Quarantine } from '../model/run.ts';
import {
  choosePurged,
  findQuarantined,
  listQuarantine,
  type PurgeChoice,
  purgeQuarantine,
  restoreQuarantined,
} from '../recovery/quarantine.ts';
import { inventory } from '../report/inventory.ts';
import { purgePage, quarantinePage, quarantineTable } from '../report/run.ts';
import type { Root } from '../system/root.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';
import { runStore } from './runs.ts';

interface Common {
  readonly root: string;
  readonly json?: boolean;
  readonly store?: string;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** @throws DebmendError */
export function quarantineList(options: unknown): number {
  const args = options as Common;
  const root = openRoot(args.root);
  const items = listQuarantine(runStore(root, args.store), root);
  print(root, args, { items }, () => quarantineTable(items));
  return EXIT.sound;
}

/** @throws DebmendError */
export function quarantineShow(id: string, options: unknown): number {
  const args = options as Common;
  const root = openRoot(args.root);
  const item = findQuarantined(runStore(root, args.store), root, id);
  print(root, args, { items: [item] }, () => quarantinePage(item));
  return EXIT.sound;
}

/** @throws DebmendError */
export async function quarantineRestore(id: string, options: unknown): Promise<number> {
  const args = options as Common;
  const root = openRoot(args.root);
  const store = runStore(root, args.store);
  const path = await whileLocked(root, () => restoreQuarantined(store, root, id, process.argv.slice(2)));
  print(root, args, { items: listQuarantine(store, root), restored: [id] }, () => {
    return `${id} stands at ${pathForTerminal(path)} again\n`;
  });
  return EXIT.sound;
}

/** @throws DebmendError */
export function quarantinePurge(ids: readonly string[], options: unknown): number {
  const args = options as Common & { olderThan?: number; yes?: boolean };
  const root = openRoot(args.root);
  const store = runStore(root, args.store);
  const choice: PurgeChoice = {
    ids,
    before: args.olderThan === undefined ? undefined : new Date(Date.now() - args.olderThan * DAY_MS),
  };
  const document: Quarantine =
    args.yes === true
      ? { items: [], purged: purgeQuarantine(store, root, choice, process.argv.slice(2)) }
      : { items: [], wouldPurge: choosePurged(store, root, choice).map(({ id }) => id) };
  const quarantine = { ...document, items: listQuarantine(store, root) };
  print(root, args, quarantine, () => purgePage(quarantine));
  return EXIT.sound;
}

function print(root: Root, args: Common, quarantine: Quarantine, page: () => string): void {
  process.stdout.write(
    args.json === true ? `${JSON.stringify(inventory(root, { quarantine }), undefined, 2)}\n` : page(),
  );
}
