/** `debmend fsck status`: parse, call, render. */
import { checkFindings, settleChecks } from '../fsck/schedule.ts';
import { type FilesystemHealth, filesystemHealth } from '../fsck/status.ts';
import type { Finding } from '../model/finding.ts';
import type { Report } from '../model/report.ts';
import { filesystemsReport, renderFilesystems } from '../report/filesystems.ts';
import { storeDirectory } from '../snapshot/store.ts';
import { bootId } from '../system/boot.ts';
import type { Root } from '../system/root.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';

/** What commander hands over; its own checks have been made. */
interface StatusArguments {
  readonly root: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** @throws DebmendError */
export async function fsckStatus(options: unknown): Promise<number> {
  const args = options as StatusArguments;
  const [startedAt, started] = [new Date(), performance.now()];
  const root = openRoot(args.root);
  const directory = storeDirectory(root);
  const known = await filesystemHealth(root, { directory, all: args.all === true });
  const asked = await askedChecks(root, directory, known);
  const health = { ...known, findings: [...known.findings, ...asked] };
  const report = filesystemsReport(root, health, startedAt, (performance.now() - started) / 1000);
  const text =
    args.json === true
      ? `${JSON.stringify(report, undefined, 2)}\n`
      : renderFilesystems(report, {
          colour: process.stdout.hasColors?.() === true && !process.env['NO_COLOR'],
          // A serial console often says that it has 0 columns, which means that it does not know.
          width: process.stdout.columns || Number.POSITIVE_INFINITY,
          all: args.all === true,
        });
  process.stdout.write(text);
  return exitCode(report);
}

/** Checks that were asked for and not made; what a made one found stands in this boot's own check. */
async function askedChecks(
  root: Root,
  directory: string,
  { filesystems }: FilesystemHealth,
): Promise<Finding[]> {
  // Their superblocks are read, and that would hang as well.
  if (filesystems.some(({ state }) => state === 'not-answering')) return [];
  const { news } = await settleChecks({ root, directory, boot: bootId() }, false);
  return checkFindings(news).filter(({ code }) => code.startsWith('fsck-'));
}

function exitCode({ summary: { severities } }: Report): number {
  return severities.warning + severities.error + severities.critical > 0 ? EXIT.findings : EXIT.sound;
}
