/** The findings by what they concern: a package, or else a part of the system. */
import type { Finding } from '../../model/finding.ts';
import { compareSeverity, type Severity } from '../../model/severity.ts';
import { printable } from './text.ts';

export interface Group {
  readonly title: string;
  /** The version that dpkg records, where all findings of the group agree on it. */
  readonly version: string | undefined;
  /** Worst first, those of a power cut before the others, and else in the report's order. */
  readonly findings: readonly Finding[];
}

interface Ranked extends Group {
  readonly worst: Severity;
  readonly atWorst: number;
}

/** Worst group first: by its worst severity, then by how many findings have it, then by name. */
export function groupFindings(findings: readonly Finding[]): Group[] {
  // The key keeps a package called `apt` apart from what belongs to no package.
  const byKey = Map.groupBy(findings, (finding) =>
    finding.package === undefined ? `area ${area(finding)}` : `package ${finding.package}`,
  );
  return [...byKey.values()].map(rank).sort(compareGroups);
}

/** What a finding without a package concerns. */
export function area({ code }: Finding): string {
  if (code.startsWith('database-')) return "dpkg's database";
  if (code.startsWith('apt-')) return "apt's state";
  if (/^(?:filesystem|fsck|scrub)-/.test(code)) return 'filesystems';
  return code.startsWith('package-') ? 'package states' : 'files of no package';
}

function rank(findings: readonly Finding[]): Ranked {
  const sorted = findings.toSorted(
    (a, b) => compareSeverity(b.severity, a.severity) || Number(b.likelyOutage) - Number(a.likelyOutage),
  );
  const [first] = sorted;
  if (first === undefined) throw new RangeError('a group of findings is never empty');
  return {
    title: first.package === undefined ? area(first) : printable(first.package),
    version: sorted.every((finding) => finding.version === first.version) ? first.version : undefined,
    findings: sorted,
    worst: first.severity,
    atWorst: sorted.filter((finding) => finding.severity === first.severity).length,
  };
}

function compareGroups(a: Ranked, b: Ranked): number {
  // By code units and not by locale: the same report gives the same text everywhere.
  const byName = a.title < b.title ? -1 : a.title > b.title ? 1 : 0;
  return compareSeverity(b.worst, a.worst) || b.atWorst - a.atWorst || byName;
}
