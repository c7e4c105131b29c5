/** What is said of a run's undo and of the quarantine. */
import { bytesToText, pathForTerminal } from '../model/path-text.ts';
import type { Quarantine, QuarantineItem, Undo } from '../model/run.ts';
import { count, oneLine, size } from './human/text.ts';
import { table } from './inventory.ts';

const OUTCOMES: Readonly<Record<Undo['actions'][number]['outcome'], string>> = {
  undone: 'undone',
  'would-undo': 'would undo',
  'undone-before': 'undone before',
  'changed-since': 'left alone',
  impossible: 'cannot undo',
  failed: 'failed',
};

/** An undo, a line an action, the newest first. */
export function undoPage({ run, applied, by, actions, programs }: Undo): string {
  const lines = actions.map(
    ({ id, kind, path, outcome, text }) =>
      `${OUTCOMES[outcome]}  ${id}  ${kind} ${pathForTerminal(path)}: ${oneLine(bytesToText(text))}\n`,
  );
  if (actions.length === 0) lines.push(`run ${run} changed nothing by an action of its own\n`);
  if (programs.length > 0) {
    lines.push('these programs ran in it; what they changed is not taken back:\n');
    lines.push(...programs.map((program) => `  ${oneLine(bytesToText(program))}\n`));
  }
  if (!applied) lines.push(`nothing was changed; 'debmend undo ${run} --apply' does it\n`);
  else if (by !== undefined) lines.push(`taken back by run ${by}, which can be undone too\n`);
  return lines.join('');
}

export function quarantineTable(items: readonly QuarantineItem[]): string {
  if (items.length === 0) return 'the quarantine is empty\n';
  const rows = items.map(({ id, at, path, thing, why }) => [
    id,
    at === undefined ? '-' : at.slice(0, 19).replace('T', ' '),
    thing?.type ?? '-',
    thing === undefined ? '-' : size(thing.size),
    why === undefined ? '-' : oneLine(why.reason),
    path === undefined ? 'not known: its journal is lost' : pathForTerminal(path),
  ]);
  return table(['id', 'moved (UTC)', 'type', 'size', 'why', 'path'], rows);
}

/** One quarantined thing, line by line. */
export function quarantinePage({ id, at, path, place, thing, why }: QuarantineItem): string {
  const lines = [
    id,
    `  stood at ${path === undefined ? 'a path that is not known: its journal is lost' : pathForTerminal(path)}`,
    `  is now ${pathForTerminal(place)}`,
  ];
  if (at !== undefined) lines.push(`  moved ${at}`);
  if (why !== undefined) {
    lines.push(`  why: ${oneLine(why.reason)}`);
    if (why.package !== undefined) lines.push(`  package: ${oneLine(why.package)}`);
    if (why.finding !== undefined) lines.push(`  finding: ${why.finding}`);
    if (why.source !== undefined) lines.push(`  replaced from: ${oneLine(why.source)}`);
  }
  if (thing === undefined) lines.push('  it cannot be looked at');
  else {
    const { type, mode, uid, gid, mtime, links, target } = thing;
    const changed = new Date(Number(BigInt(mtime) / 1_000_000n));
    const when = Number.isNaN(changed.getTime()) ? `${mtime} ns` : changed.toISOString();
    lines.push(`  ${type}, ${size(thing.size)}, mode ${mode}, owner ${uid}:${gid}, changed ${when}`);
    if (target !== undefined) lines.push(`  points to ${pathForTerminal(target)}`);
    if (links > 1 && type !== 'directory') lines.push(`  has ${count(links, 'name')}`);
  }
  return `${lines.join('\n')}\n`;
}

/** What a purge did, or would do. */
export function purgePage({ items, purged, wouldPurge }: Quarantine): string {
  if (purged !== undefined) return `purged ${count(purged.length, 'item')}\n`;
  const would = new Set(wouldPurge ?? []);
  const chosen = items.filter(({ id }) => would.has(id));
  if (chosen.length === 0) return 'nothing to purge\n';
  return `${quarantineTable(chosen)}nothing was deleted; --yes deletes ${count(chosen.length, 'item')} for good\n`;
}
