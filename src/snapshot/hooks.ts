/**
 * What the hooks of apt and dpkg do (apt.conf(5), DPkg::Pre-Install-Pkgs and DPkg::Post-Invoke; dpkg(1), --pre-invoke
 * and --post-invoke). A duplicate, a missing or a repeated call does no harm: a run that is told of twice is two runs
 * of one transaction, and one that nobody ended is settled by whoever comes next.
 */
import { readSync } from 'node:fs';
import type { Config } from '../config/settings.ts';
import { type IntendedPackage, intendedPackages, parseAptHook } from '../dpkg/apt-hook.ts';
import { refreshIndexSummaries } from '../dpkg/apt-index.ts';
import { intendedByCommand, parseDpkgCommand } from '../dpkg/command-line.ts';
import { type Bytes, bytesFromText, bytesOf } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import type { Store } from './store.ts';
import { beginRun, INDEX_CACHE } from './transaction/begin.ts';
import { endTransaction } from './transaction/end.ts';
import { openTransactions } from './transaction/record.ts';
import { callingSession, transactionOf } from './transaction/session.ts';
import { settleTransactions } from './transaction/settle.ts';

export const HOOKS = ['apt-pre', 'apt-post', 'apt-update', 'dpkg-pre', 'dpkg-post'] as const;
export type Hook = (typeof HOOKS)[number];

export function isHook(name: string | undefined): name is Hook {
  return HOOKS.some((hook) => hook === name);
}

/**
 * Does what a hook is for.
 *
 * @param input what apt wrote, for `apt-pre`
 * @throws whatever goes wrong: the caller logs it, and decides whether apt goes on (I9)
 */
export async function runHook(
  hook: Hook,
  store: Store,
  root: Root,
  config: Config,
  input: Bytes,
): Promise<void> {
  switch (hook) {
    case 'apt-pre': {
      settleTransactions(store, root);
      const parsed = parseAptHook(input);
      await beginRun(store, root, config, {
        source: 'apt',
        packages: intendedPackages(parsed),
        complete: parsed.complete && parsed.problems.length === 0,
      });
      return;
    }
    case 'dpkg-pre': {
      settleTransactions(store, root);
      // apt has told of it already: this is one of its runs of dpkg.
      if (transactionOf(openTransactions(store)) !== undefined) return;
      await beginRun(store, root, config, { source: 'dpkg', ...dpkgIntent(root) });
      return;
    }
    case 'apt-post':
    case 'dpkg-post': {
      const open = transactionOf(openTransactions(store));
      if (open === undefined) return;
      // dpkg ends several times within one run of apt, and apt alone knows when that is over.
      if (hook === 'dpkg-post' && open.origin !== 'dpkg') return;
      await endTransaction(store, root, config, open, hook === 'apt-post' ? 'apt' : 'dpkg');
      return;
    }
    case 'apt-update':
      await refreshIndexSummaries(root, store.file(INDEX_CACHE));
      return;
  }
}

function dpkgIntent(root: Root): { packages: IntendedPackage[]; complete: boolean } {
  const { command, directory } = callingSession();
  const parsed = parseDpkgCommand(command);
  const packages = intendedByCommand(root, parsed, bytesFromText(directory ?? '/'));
  return { packages, complete: command.length > 0 && !parsed.pending };
}

/** Everything that a file descriptor has to give. */
export function readAll(fd: number): Bytes {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.allocUnsafe(64 * 1024);
    const count = readSync(fd, chunk, 0, chunk.length, null);
    if (count === 0) return bytesOf(Buffer.concat(chunks));
    chunks.push(chunk.subarray(0, count));
  }
}
