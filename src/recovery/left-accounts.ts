/**
 * Accounts that the scripts of purged packages take away, and that are there: a disk that took back what userdel(8) wrote,
 * in all of its files, leaves no trace of that but the account itself. It may as well be that the script could not do it.
 */
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { type Bytes, bytesFromText, bytesOf } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { ACCOUNT_FILES } from './accounts.ts';
import { isPurge } from './redo/marks.ts';
import type { Redo } from './redo/redo.ts';

export function leftAccounts(root: Root, admindir: Bytes, { before, decision }: Redo): LeftAlone[] {
  if (!decision.crashed) return [];
  const names = before.runs.flatMap((run, at) =>
    isPurge(run)
      ? run.packages
          .filter(({ action }) => action === 'remove')
          .flatMap(({ name }) => [...before.controlFiles(`${admindir}/info`, bytesFromText(name), at)])
          .filter(([file]) => /\.(?:prerm|postrm)$/.test(file))
          .flatMap(([, entry]) => takenAway(bytesOf(before.contentOf(entry) ?? Buffer.alloc(0))))
      : [],
  );
  return ACCOUNT_FILES.flatMap((path): LeftAlone[] => {
    const entry = before.find(path);
    const then = entry === undefined ? undefined : before.contentOf(entry);
    const now = readRegularFile(root.hostPath(path));
    if (then === undefined || now.kind !== 'read') return [];
    const left = names.find((name) => [bytesOf(then), now.data].every((text) => hasAccount(text, name)));
    if (left === undefined) return [];
    const reason = `scripts of purged packages take ${bytesToText(left)} away, and it is there: they could not, or a disk lost it`;
    return [{ finding: 'transaction-interrupted', path: pathToText(path), harmless: false, reason }];
  });
}

/** Names that stand literally behind userdel(8), deluser(8) and their like; a second one is a group that stays. */
export function takenAway(script: Bytes): Bytes[] {
  return [...script.matchAll(/\b(?:userdel|deluser|groupdel|delgroup)\b([^\n;&|>]*)/g)].flatMap(
    ([, words = '']) => words.split(/[ \t]+/).find((word) => /^[a-z_][a-z0-9_-]*\$?$/.test(word)) ?? [],
  );
}

function hasAccount(text: Bytes, name: Bytes): boolean {
  return text.startsWith(`${name}:`) || text.includes(`\n${name}:`);
}
