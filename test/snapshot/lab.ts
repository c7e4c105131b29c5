/** What the integration tests of hooks and transactions share: a root with debmend in it, and what it recorded. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import type { Inventory } from '../../src/model/inventory.ts';
import { inventorySchema } from '../../src/model/inventory.ts';
import type { Transaction } from '../../src/model/transaction.ts';
import { type Ended, type InRootOptions, inRoot, installDebmend, mustInRoot } from '../lab/chroot.ts';
import { type DebianRoot, type DebianSuite, debianRoot } from '../lab/roots.ts';

/** What the Node.js of debmend needs and a minimal Debian has not. */
export const NEEDS = ['libatomic1'] as const;

const opened: DebianRoot[] = [];
afterEach(() => {
  for (const root of opened.splice(0)) root.remove();
});

/** A root that goes with the test, with debmend and its hooks in it. */
export async function hookedRoot(suite: DebianSuite, more: readonly string[] = []): Promise<string> {
  const root = await debianRoot(suite, { include: [...NEEDS, ...more] });
  opened.push(root);
  await installDebmend(root.directory);
  await mustInRoot(root.directory, ['debmend', 'hooks', 'install']);
  return root.directory;
}

export async function apt(directory: string, ...args: string[]): Promise<Ended> {
  return await inRoot(directory, ['apt-get', '-y', ...args]);
}

/** What one of debmend's own commands prints as JSON, held against the schema. */
export async function inventoryOf(
  directory: string,
  args: readonly string[],
  options?: InRootOptions,
): Promise<Inventory> {
  const text = await mustInRoot(directory, ['debmend', ...args, '--json'], options);
  return inventorySchema.parse(JSON.parse(text));
}

export async function transactionsOf(directory: string): Promise<Transaction[]> {
  return (await inventoryOf(directory, ['transaction', 'list'])).transactions ?? [];
}

/** The newest transaction, which has to be the only new one. */
export async function lastTransaction(directory: string, count: number): Promise<Transaction> {
  const all = await transactionsOf(directory);
  expect(all).toHaveLength(count);
  const last = all.at(-1);
  if (last === undefined) throw new Error('no transaction');
  return last;
}

/** dpkg's own log, as lines of the transaction's steps: `status t installed`, `upgrade t`. */
export function dpkgLog(directory: string): string[] {
  const text = readFileSync(join(directory, 'var/log/dpkg.log'), 'latin1');
  return text
    .trimEnd()
    .split('\n')
    .flatMap((line) => {
      const [, , kind = '', second = '', third = ''] = line.split(' ');
      switch (kind) {
        case 'status':
          return [`status ${bare(third)} ${second}`];
        case 'install':
        case 'upgrade':
        case 'configure':
        case 'trigproc':
        case 'remove':
        case 'purge':
        case 'disappear':
          return [`${kind} ${bare(second)}`];
        default:
          return []; // `startup`, `conffile`
      }
    });
}

/** The steps of a transaction in the same form; errors are not in dpkg's log. */
export function stepsOf(transaction: Transaction): string[] {
  return (transaction.seal?.steps ?? [])
    .filter((step) => !step.startsWith('error '))
    .map((step) => step.split(' ').map(bare).join(' '));
}

function bare(name: string): string {
  return name.split(':', 1)[0] ?? name;
}
