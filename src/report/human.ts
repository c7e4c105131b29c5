/**
 * A report for a person in a hurry: the verdict, what is wrong, the worst first, and what to do next.
 *
 * Only types of the model are imported: its schemas, and zod with them, need not be loaded to print a page.
 * The same report and options give the same text, in every locale.
 */
import type { Report } from '../model/report.ts';
import { listing } from './human/listing.ts';
import { nextSteps } from './human/next-steps.ts';
import type { Page } from './human/page.ts';
import { painter } from './human/text.ts';
import { unlisted } from './human/unlisted.ts';
import { verdict } from './human/verdict.ts';

export interface HumanOptions {
  readonly colour: boolean;
  /** List every finding: nothing folded, `info` included. */
  readonly all: boolean;
  /** Columns of the terminal, or Infinity. */
  readonly width: number;
}

/** The text ends in a newline. */
export function renderHuman(report: Report, options: HumanOptions): string {
  const page: Page = { paint: painter(options.colour), all: options.all, width: options.width };
  const blocks = [
    verdict(report, page),
    ...listing(report.findings, page),
    unlisted(report.findings, page),
    nextSteps(report, page),
  ];
  return `${blocks
    .filter((block) => block.length > 0)
    .map((block) => block.join('\n'))
    .join('\n\n')}\n`;
}
