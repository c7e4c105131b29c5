/** What every part of the page needs to know of where it will be read. */
import type { Finding } from '../../model/finding.ts';
import type { Severity } from '../../model/severity.ts';
import { count, number, type Paint, type Style } from './text.ts';

export interface Page {
  readonly paint: Paint;
  /** List what is folded and what is only counted otherwise. */
  readonly all: boolean;
  /** Columns of the terminal, or Infinity where lines should not be broken for its sake. */
  readonly width: number;
}

/** Prose is broken here even on a wide terminal or in a file: longer lines are hard to read. */
const PROSE_WIDTH = 100;
/** Below this, breaking lines makes the text harder to read than the terminal's own wrapping does. */
const LEAST_WIDTH = 40;

export function proseWidth(page: Page): number {
  return Math.max(LEAST_WIDTH, Math.min(page.width, PROSE_WIDTH));
}

export const SEVERITY_STYLE: Readonly<Record<Severity, Style>> = {
  critical: ['bold', 'red'],
  error: 'red',
  warning: 'yellow',
  info: 'cyan',
};

export const WORST_FIRST: readonly Severity[] = ['critical', 'error', 'warning', 'info'];

/** `1 critical, 12 errors, 1,271 warnings`. */
export function severityCounts(findings: readonly Finding[]): string {
  const parts: string[] = [];
  for (const severity of WORST_FIRST) {
    const n = findings.filter((finding) => finding.severity === severity).length;
    if (n === 0) continue;
    const uncounted = severity === 'critical' || severity === 'info';
    parts.push(uncounted ? `${number(n)} ${severity}` : count(n, severity));
  }
  return parts.join(', ');
}
