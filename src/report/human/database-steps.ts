/**
 * What mends each damage of dpkg's database (docs: facts about dpkg, "damage to the database"). Nothing here deletes,
 * and no file is completed by guesswork: a .list that is made to look whole hides for ever the names that it lost.
 */
import type { FindingCode } from '../../model/codes.ts';
import type { Finding } from '../../model/finding.ts';
import { sentenceList } from './text.ts';
import type { Topics } from './topics.ts';

/** Where Debian's dpkg-db-backup(.timer) keeps its copies. */
const BACKUPS: readonly (readonly [FindingCode, string])[] = [
  ['database-diversions-damaged', 'dpkg.diversions.*'],
  ['database-statoverride-damaged', 'dpkg.statoverride.*'],
  ['database-arch-damaged', 'dpkg.arch.*'],
  ['database-alternatives-damaged', 'alternatives.tar.*'],
];

export function databaseNotes(topics: Topics, names: (findings: readonly Finding[]) => string): string[] {
  const notes: string[] = [];
  const codes = new Set([...topics.values()].flat().map((finding) => finding.code));
  const has = (code: FindingCode): boolean => codes.has(code);
  if (topics.has('status')) {
    notes.push(
      'the status file: older copies are status-old beside it and /var/backups/dpkg.status.* (most ' +
        'of them compressed); start from the newest sound one, and remember that it does not know what was installed after it',
    );
  }
  if (topics.has('updates')) notes.push('updates/: move the damaged entry aside, keep it, and audit again');
  const lists = topics.get('lists');
  if (lists) {
    notes.push(
      `file lists of ${names(lists)}: move the damaged .list aside and keep it, reinstalling (below) writes a new one; ` +
        'a list that is only made to look whole hides the names it lost',
    );
  }
  const scripts = topics.get('scripts');
  if (scripts) {
    notes.push(
      `maintainer scripts of ${names(scripts)}: such a script does nothing and counts as success, so configure ` +
        'nothing before the right one is back (dpkg-deb --control takes it out of the .deb of the same version)',
    );
  }
  const control = topics.get('control');
  if (control) {
    notes.push(
      `control files of ${names(control)}: dpkg-deb --control takes them out of the .deb of the same version`,
    );
  }
  const copies = BACKUPS.flatMap(([code, copy]) => (has(code) ? [copy] : []));
  if (copies.length > 0) notes.push(`/var/backups holds copies: ${sentenceList(copies)}`);
  if (topics.has('owner')) {
    notes.push('statoverride: look whether /etc/passwd and /etc/group are whole before changing it');
  }
  if (has('database-format-corrupt') || has('database-format-missing')) {
    notes.push('info/format: it holds a single line, the number 1');
  }
  if (has('database-format-unknown')) {
    notes.push('info/format: leave it as it is, a newer dpkg than debmend knows may have written it');
  }
  if (topics.has('triggers')) {
    notes.push(
      'triggers/: keep the damaged file; which package waits for what also stands in info/*.triggers',
    );
  }
  return notes;
}
