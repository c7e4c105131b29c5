/** `debmend fsck status`: parse, call, render. */
import { checkFindings, settleChecks } from '../fsck/schedule.ts';
import { type FilesystemHealth, filesystemHealth } from '../fsck/status.ts';
import type { Filesystem } from '../model/filesystem.ts';
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
  const health = await withAskedChecks(root, directory, known);
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

/**
 * Checks that were asked for and not made; what a made one found stands in this boot's own check. Where debmend itself
 * put the mark of errors into a superblock to ask for one, that mark says nothing.
 */
async function withAskedChecks(
  root: Root,
  directory: string,
  health: FilesystemHealth,
): Promise<FilesystemHealth> {
  // Superblocks are read, and that would hang as well.
  if (health.filesystems.some(({ state }) => state === 'not-answering')) return health;
  const { checks, news } = await settleChecks({ root, directory, boot: bootId() }, false);
  const asked = checks.filter(({ stage, marked }) => stage === 'asked' && marked === true);
  const isOwn = (one: Filesystem): boolean =>
    one.state === 'errors' && !one.ext4?.errors && asked.some(({ uuid }) => uuid === one.uuid);
  const own = health.filesystems.filter(isOwn);
  const missed = checkFindings(news).filter(({ code }) => code.startsWith('fsck-'));
  return {
    ...health,
    filesystems: health.filesystems.map((one) => (own.includes(one) ? asSound(one) : one)),
    findings: [
      ...health.findings.filter(
        ({ code, path }) =>
          code !== 'filesystem-errors' || !own.some(({ mountPoint }) => mountPoint === path),
      ),
      ...missed,
    ],
  };
}

function asSound({ reason: _, ...filesystem }: Filesystem): Filesystem {
  return { ...filesystem, state: 'sound' };
}

function exitCode({ summary: { severities } }: Report): number {
  return severities.warning + severities.error + severities.critical > 0 ? EXIT.findings : EXIT.sound;
}
