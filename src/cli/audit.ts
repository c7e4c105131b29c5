/** `debmend audit`: parse, call, render. */
import { lstatSync } from 'node:fs';
import { audit } from '../audit/audit.ts';
import { loadConfig } from '../config/config.ts';
import type { Report } from '../model/report.ts';
import { compareSeverity, SEVERITIES, type Severity } from '../model/severity.ts';
import { auditReport } from '../report/document.ts';
import { renderHuman } from '../report/human.ts';
import { bytesFromText } from '../system/bytes.ts';
import { writeDurably } from '../system/durable.ts';
import { DebmendError, errnoOf } from '../system/errors.ts';
import { EXIT } from './exit-codes.ts';
import { interruptible } from './interruption.ts';
import { startProgress } from './progress.ts';
import { openRoot } from './root.ts';

/** What commander hands over; its own checks have been made. */
interface AuditArguments {
  readonly root: string;
  readonly admindir?: string;
  readonly package?: string[];
  readonly path?: string[];
  readonly quick?: boolean;
  readonly archives?: string[];
  readonly failOn: Severity | 'never';
  readonly json?: boolean;
  readonly output?: string;
  readonly all?: boolean;
  readonly ignoreLock?: boolean;
  readonly config?: string;
}

/** @throws DebmendError */
export async function auditCommand(options: unknown): Promise<number> {
  const args = options as AuditArguments;
  for (const path of [...(args.path ?? []), ...(args.admindir === undefined ? [] : [args.admindir])]) {
    if (!path.startsWith('/')) {
      throw new DebmendError(
        'usage',
        `the path ${path} is not absolute`,
        'paths are those inside the root, and begin with a slash',
      );
    }
  }
  if (args.output !== undefined) refuseOddOutput(args.output);
  const root = openRoot(args.root);
  const config = await loadConfig(args.config);
  const startedAt = new Date();
  const started = performance.now();
  const progress = startProgress();
  try {
    const looking = (signal: AbortSignal) =>
      audit({
        root,
        admindir: args.admindir === undefined ? undefined : bytesFromText(args.admindir),
        scope: {
          packages: (args.package ?? []).map(bytesFromText),
          paths: (args.path ?? []).map(bytesFromText),
        },
        quick: args.quick === true,
        archives: args.archives ?? [],
        leftoverGlobs: config.audit.leftoverGlobs,
        ignoreLock: args.ignoreLock === true,
        signal,
        onProgress: progress?.update,
      });
    const result = await interruptible(looking);
    progress?.stop();
    const report = auditReport(result, {
      root,
      scope: {
        quick: args.quick === true,
        packages: args.package ?? [],
        paths: args.path ?? [],
        archives: args.archives ?? [],
      },
      startedAt,
      seconds: (performance.now() - started) / 1000,
    });
    output(report, args);
    return exitCode(report, args.failOn);
  } finally {
    progress?.stop();
  }
}

/**
 * Only a regular file may be replaced: as root, a rename over /dev/null or /dev/stdout would take it away from the whole
 * system. Said before the audit, which can take a while.
 */
function refuseOddOutput(file: string): void {
  try {
    if (lstatSync(file).isFile()) return;
  } catch {
    return; // nothing is there, or writing will say why it cannot be reached
  }
  throw new DebmendError(
    'output-unwritable',
    `writing the report to ${file}: it is no regular file`,
    'name a file; without --output the report goes to standard output',
  );
}

function output(report: Report, args: AuditArguments): void {
  const colour =
    args.output === undefined && process.stdout.hasColors?.() === true && !process.env['NO_COLOR'];
  const text = args.json
    ? `${JSON.stringify(report, undefined, 2)}\n`
    : renderHuman(report, {
        colour,
        all: args.all === true,
        // A serial console often says that it has 0 columns, which means that it does not know.
        width: process.stdout.columns || Number.POSITIVE_INFINITY,
      });
  if (args.output === undefined) {
    process.stdout.write(text);
    return;
  }
  try {
    writeDurably(args.output, text);
  } catch (error) {
    throw new DebmendError(
      'output-unwritable',
      `writing the report to ${args.output}: ${errnoOf(error) ?? 'failed'}`,
      'name a file in a directory that can be written',
      error,
    );
  }
}

function exitCode(report: Report, failOn: Severity | 'never'): number {
  if (failOn === 'never') return EXIT.sound;
  const failed = SEVERITIES.some(
    (severity) => compareSeverity(severity, failOn) >= 0 && report.summary.severities[severity] > 0,
  );
  return failed ? EXIT.findings : EXIT.sound;
}
