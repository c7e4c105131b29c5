/** The document and the tables of the commands about snapshots, transactions and hooks. */
import type { Inventory, InventoryChange, InventoryEntry } from '../model/inventory.ts';
import { pathForTerminal, pathToText } from '../model/path-text.ts';
import { SCHEMA_VERSION } from '../model/schema-version.ts';
import type { Transaction } from '../model/transaction.ts';
import type { Snapshot } from '../snapshot/snapshots.ts';
import type { Root } from '../system/root.ts';
import { toolVersion } from '../system/tool.ts';
import { displayWidth, padding, printable } from './human/text.ts';

/** The document that a command's `--json` prints. */
export function inventory(root: Root, parts: Omit<Inventory, 'schemaVersion' | 'tool' | 'root'>): Inventory {
  return {
    schemaVersion: SCHEMA_VERSION,
    tool: { name: 'debmend', version: toolVersion() },
    root: pathToText(root.path),
    ...parts,
  };
}

/** Columns, as wide as what stands in them; the last one is not filled up. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => displayWidth(row[column] ?? ''))));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell + padding(cell, widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return all.map((row) => `${line(row)}\n`).join('');
}

export function snapshotTable(snapshots: readonly Snapshot[]): string {
  if (snapshots.length === 0) return "no snapshots yet; 'debmend snapshot create' takes one\n";
  const rows = snapshots.map(({ id, takenAt, kind, scope, sealed, entries, changed, transaction }) => [
    String(id),
    takenAt.slice(0, 19).replace('T', ' '),
    kind,
    scope,
    sealed ? 'yes' : 'no',
    String(entries),
    String(changed),
    transaction ?? '-',
  ]);
  return table(['id', 'taken (UTC)', 'kind', 'scope', 'sealed', 'paths', 'changed', 'transaction'], rows);
}

export function entryTable(entries: readonly InventoryEntry[]): string {
  const rows = entries.map((entry) => [
    entry.type,
    entry.mode,
    `${entry.uid}:${entry.gid}`,
    String(entry.size),
    entry.xxh64 ?? '-',
    pathForTerminal(entry.path) + (entry.target === undefined ? '' : ` -> ${pathForTerminal(entry.target)}`),
  ]);
  return table(['type', 'mode', 'owner', 'size', 'xxh64', 'path'], rows);
}

export function changeLines(changes: readonly InventoryChange[]): string {
  if (changes.length === 0) return 'no difference\n';
  const sign = { added: '+', removed: '-', changed: '~' } as const;
  return changes
    .map(({ path, change, what }) => {
      const how = what.length === 0 ? '' : `  (${what.join(', ')})`;
      return `${sign[change]} ${pathForTerminal(path)}${how}\n`;
    })
    .join('');
}

export function transactionTable(transactions: readonly Transaction[]): string {
  if (transactions.length === 0)
    return "no transactions yet; 'debmend hooks install' makes apt and dpkg tell of theirs\n";
  const rows = transactions.map((transaction) => {
    const names = new Set(transaction.runs.flatMap(({ packages }) => packages.map(({ name }) => name)));
    const command = transaction.session.command.join(' ') || transaction.origin;
    return [
      transaction.id,
      transaction.state,
      transaction.state === 'open' || transaction.seal === undefined
        ? '-'
        : transaction.seal.synced
          ? 'yes'
          : 'no',
      String(names.size),
      printable(command),
    ];
  });
  return table(['id', 'state', 'synced', 'packages', 'command'], rows);
}

/** A transaction, line by line. */
export function transactionPage(transaction: Transaction): string {
  const { id, state, startedAt, endedAt, session, runs, seal, replaced } = transaction;
  const lines = [
    `transaction ${id}: ${state}`,
    `  begun ${startedAt}${endedAt === undefined ? '' : `, ended ${endedAt}`}`,
    `  command: ${printable(session.command.join(' ')) || 'not known'}`,
  ];
  for (const run of runs) {
    lines.push(`  ${run.source} said at ${run.at}${run.complete ? '' : ' (not all of it was understood)'}:`);
    for (const pkg of run.packages) {
      const versions = [pkg.oldVersion, pkg.newVersion].filter((version) => version !== undefined);
      const archive =
        pkg.archive === undefined
          ? ''
          : `, archive ${pkg.archive.index === 'matches' ? 'as the index says' : `against the index: ${pkg.archive.index}`}${pkg.archive.kept === undefined ? ', not kept' : ''}`;
      const problem = pkg.problem === undefined ? '' : `; ${pkg.problem}`;
      lines.push(
        printable(
          `    ${pkg.action} ${pkg.name}:${pkg.architecture} ${versions.join(' -> ')}${archive}${problem}`,
        ),
      );
    }
  }
  if (replaced !== undefined) {
    lines.push(
      `  old versions of files: ${replaced.kept} kept, ${replaced.unsound} not sound, ${replaced.failed} could not be linked`,
    );
  }
  if (seal !== undefined && state !== 'open') {
    const sync = seal.synced ? 'all of it synced' : 'not all of it synced';
    lines.push(
      `  ${seal.complete ? 'complete' : 'not complete'}, ${sync}, sealed by ${seal.by} at ${seal.at}`,
    );
    for (const { mountPoint, result } of seal.sync?.filesystems ?? [])
      if (result !== 'synced') lines.push(`    ${pathForTerminal(mountPoint)}: ${result}`);
    for (const pkg of seal.packages) {
      const from = `${pkg.oldState}${pkg.oldVersion === undefined ? '' : ` ${pkg.oldVersion}`}`;
      const to = `${pkg.newState}${pkg.newVersion === undefined ? '' : ` ${pkg.newVersion}`}`;
      lines.push(printable(`    ${pkg.name}:${pkg.architecture} ${from} -> ${to}`));
    }
    if (seal.missed.length > 0)
      lines.push(printable(`  not where they were meant to come: ${seal.missed.join(', ')}`));
  }
  return `${lines.join('\n')}\n`;
}
