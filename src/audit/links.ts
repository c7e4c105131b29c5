/**
 * The links of the alternatives system, the only ones whose targets dpkg's database knows: the name that users call
 * points to /etc/alternatives/NAME, and that to one of the registered files.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { type Alternative, bestChoice } from '../dpkg/alternatives.ts';
import type { Database } from '../dpkg/database.ts';
import type { Finding } from '../model/finding.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { errnoOf } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { type Draft, finding } from './finding.ts';

const ALTERNATIVES = '/etc/alternatives';

type Link = { kind: 'link'; target: Bytes } | { kind: 'missing' } | { kind: 'other' } | { kind: 'unknown' };

export function judgeAlternatives(
  root: Root,
  database: Database,
  accepts: (path: Bytes) => boolean,
): Finding[] {
  const drafts: Draft[] = [];
  for (const alternative of database.alternatives) judge(root, alternative, drafts);
  return drafts.filter((draft) => draft.path === undefined || accepts(draft.path)).map(finding);
}

function judge(root: Root, alternative: Alternative, drafts: Draft[]): void {
  const { master, mode } = alternative;
  if (alternative.choices.length === 0) return;
  const middle = `${ALTERNATIVES}/${master.name}`;
  const current = readLink(root, middle);
  const allowed =
    mode === 'auto'
      ? [bestChoice(alternative)?.file ?? '']
      : alternative.choices.map((choice) => choice.file);
  judgeLink(
    middle,
    current,
    allowed,
    `the ${mode === 'auto' ? 'best' : 'registered'} alternative for ${master.name}`,
    drafts,
  );
  // Someone may have put a program of their own in the link's place; update-alternatives leaves that alone.
  const outer = readLink(root, master.link);
  if (outer.kind !== 'other')
    judgeLink(master.link, outer, [middle], `the alternative ${master.name}`, drafts);
  const choice = alternative.choices.find(
    (entry) => current.kind === 'link' && entry.file === current.target,
  );
  alternative.slaves.forEach((slave, position) => {
    const file = choice?.slaveFiles[position] ?? '';
    // A slave's link exists only while its file does, which a path-exclude often takes away.
    const inner = readLink(root, `${ALTERNATIVES}/${slave.name}`);
    if (file === '' || inner.kind !== 'link') return;
    judgeLink(`${ALTERNATIVES}/${slave.name}`, inner, [file], `the alternative ${slave.name}`, drafts);
    const link = readLink(root, slave.link);
    const isWanted = link.kind === 'missing' && readLink(root, file).kind !== 'missing';
    if (link.kind === 'link' || isWanted) {
      judgeLink(slave.link, link, [`${ALTERNATIVES}/${slave.name}`], `the alternative ${slave.name}`, drafts);
    }
  });
}

function judgeLink(path: Bytes, link: Link, allowed: readonly Bytes[], what: string, drafts: Draft[]): void {
  const base = { path, knownBy: 'alternatives' as const, severity: 'error' as const };
  switch (link.kind) {
    case 'unknown':
      return;
    case 'missing':
      drafts.push({
        ...base,
        code: 'file-missing',
        message: `the link for ${what} is missing`,
        likelyOutage: true,
        reason: 'update-alternatives does not sync the links that it makes',
        ...(allowed.length === 1 && allowed[0] !== '' ? { expected: allowed[0] } : {}),
      });
      return;
    case 'other':
      drafts.push({
        ...base,
        code: 'file-wrong-type',
        message: `the link for ${what} is no symbolic link`,
        likelyOutage: false,
        reason: 'a cut does not change what kind of thing a name is',
        expected: 'a symbolic link',
      });
      return;
    case 'link':
      if (allowed.includes(link.target)) return;
      drafts.push({
        ...base,
        code: 'file-wrong-link-target',
        severity: 'warning',
        message: `the link does not point to ${what}`,
        likelyOutage: false,
        reason: 'links are made whole or not at all, so a hand made this one',
        expected: allowed.join(' or '),
        found: link.target,
      });
  }
}

function readLink(root: Root, path: Bytes): Link {
  const found = root.resolve(path);
  if (found.kind === 'unreachable')
    return found.errno === 'ENOENT' ? { kind: 'missing' } : { kind: 'unknown' };
  try {
    const host = fsPath(found.host);
    if (!lstatSync(host).isSymbolicLink()) return { kind: 'other' };
    return { kind: 'link', target: bytesOf(readlinkSync(host, { encoding: 'buffer' })) };
  } catch (error) {
    return errnoOf(error) === 'ENOENT' ? { kind: 'missing' } : { kind: 'unknown' };
  }
}
