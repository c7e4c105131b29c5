/** `debmend fsck scrub`: parse, call, render. */
import { listFilesystems, type MountedFilesystem } from '../fsck/filesystems.ts';
import { scrubFindings } from '../fsck/online/findings.ts';
import { type PlannedScrub, planScrub, scrub, scrubName } from '../fsck/online/scrub.ts';
import { pathToText } from '../model/path-text.ts';
import type { OnlineCheck } from '../model/requested-check.ts';
import { scrubLines } from '../report/checks.ts';
import { inventory } from '../report/inventory.ts';
import { bytesFromText } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import { EXIT } from './exit-codes.ts';
import { interruptible } from './interruption.ts';
import { startProgress } from './progress.ts';
import { openRoot } from './root.ts';

interface ScrubArguments {
  readonly root: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** @throws DebmendError */
export async function fsckScrub(mounts: readonly string[], options: unknown): Promise<number> {
  const args = options as ScrubArguments;
  const root = openRoot(args.root);
  const dryRun = args.dryRun === true;
  const planned = chosen(listFilesystems(root), mounts).map(planScrub);
  const possible = planned.filter((one) => one.kind === 'scrub');
  const progress = dryRun || args.json === true ? undefined : startProgress();
  const results: OnlineCheck[] = [];
  try {
    if (!dryRun) {
      await interruptible(async (signal) => {
        for (const one of possible) {
          const onProgress =
            progress &&
            (({ done, total }: { done: number; total: number }) =>
              progress.update({ phase: 'reading', done, total }));
          results.push(await scrub(one, { signal, onProgress }));
          if (signal.aborted) break;
        }
      });
    }
  } finally {
    progress?.stop();
  }
  const findings = results.flatMap(scrubFindings);
  if (args.json === true) {
    const scrubs = { dryRun, planned: planned.map(document), results };
    process.stdout.write(`${JSON.stringify(inventory(root, { scrubs, findings }), undefined, 2)}\n`);
  } else process.stdout.write(words(planned, results, mounts.length > 0, dryRun));
  if (results.some(({ outcome }) => outcome === 'cancelled')) return EXIT.interrupted;
  if (results.some(({ outcome }) => outcome === 'failed')) return EXIT.failed;
  return findings.length > 0 ? EXIT.findings : EXIT.sound;
}

/** @throws DebmendError `usage` for a mount point that is none */
function chosen(filesystems: readonly MountedFilesystem[], mounts: readonly string[]): MountedFilesystem[] {
  if (mounts.length === 0) return [...filesystems];
  return mounts.map((mount) => {
    const point = bytesFromText(mount.length > 1 ? mount.replace(/\/+$/, '') : mount);
    const found = filesystems.find(({ mountPoints }) => mountPoints.includes(point));
    if (found !== undefined) return found;
    throw new DebmendError(
      'usage',
      `checking ${mount}: no filesystem is mounted there`,
      "name a mount point inside the root, as 'findmnt' lists them; what is not mounted checks: debmend fsck run",
    );
  });
}

function document(planned: PlannedScrub) {
  const { filesystem } = planned;
  return {
    mountPoint: pathToText(filesystem.mountPoint),
    type: filesystem.type,
    ...(planned.kind === 'scrub' ? { command: [...planned.command] } : { reason: planned.reason }),
  };
}

function words(
  planned: readonly PlannedScrub[],
  results: readonly OnlineCheck[],
  named: boolean,
  dryRun: boolean,
): string {
  const lines = [
    ...planned.flatMap((one) => {
      if (one.kind === 'scrub') return dryRun ? [one.command.join(' ')] : [];
      return named ? [`${scrubName(one.filesystem)}: not applicable: ${one.reason}`] : [];
    }),
    ...results.flatMap(scrubLines),
  ];
  if (lines.length === 0)
    lines.push('no mounted filesystem can be checked while it is in use: btrfs can, and ext4 on LVM');
  return lines.map((line) => `${line}\n`).join('');
}
