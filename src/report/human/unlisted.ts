/** What needs no hand is only counted: it is the administrator's own doing, and would hide what matters. */
import type { FindingCode } from '../../model/codes.ts';
import type { Finding } from '../../model/finding.ts';
import { type Page, proseWidth } from './page.ts';
import { count, wrap } from './text.ts';

/** What findings of a code are called when they are counted; a code that is not here goes by its own name. */
const NOUNS: Readonly<Partial<Record<FindingCode, readonly [singular: string, plural: string]>>> = {
  'conffile-modified': ['changed conffile', 'changed conffiles'],
  'conffile-missing': ['removed conffile', 'removed conffiles'],
  'conffile-zero-length': ['emptied conffile', 'emptied conffiles'],
  'file-excluded': ['excluded path', 'excluded paths'],
  'file-diverted': ['diverted file', 'diverted files'],
  'file-missing': ['missing file', 'missing files'],
  'file-modified': ['modified file', 'modified files'],
  'file-wrong-mode': ['file with another mode', 'files with another mode'],
  'file-wrong-owner': ['file with another owner', 'files with another owner'],
  'leftover-administrator': ["administrator's leftover", "administrator's leftovers"],
  'leftover-configured': ['leftover by configuration', 'leftovers by configuration'],
  'package-triggers-awaited': ['package that awaits triggers', 'packages that await triggers'],
  'package-triggers-pending': ['package with pending triggers', 'packages with pending triggers'],
  'database-leftover': ["leftover in dpkg's database", "leftovers in dpkg's database"],
  'apt-partial': ['unfinished download', 'unfinished downloads'],
};

export function unlisted(findings: readonly Finding[], page: Page): string[] {
  const infos = findings.filter((finding) => finding.severity === 'info');
  if (page.all || infos.length === 0) return [];
  const counts = [...Map.groupBy(infos, (finding) => finding.code)]
    .map(([code, group]) => ({ code, n: group.length }))
    .sort((a, b) => b.n - a.n || (a.code < b.code ? -1 : 1))
    .map(({ code, n }) => count(n, ...(NOUNS[code] ?? ([`${code} finding`, `${code} findings`] as const))));
  const [need, them] = infos.length === 1 ? ['needs', 'it'] : ['need', 'them'];
  return wrap(`${counts.join(', ')} ${need} no hand: --all lists ${them}`, proseWidth(page));
}
