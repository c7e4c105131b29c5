/**
 * A fresh root in milliseconds: an overlay filesystem over a prepared one, which is only read, thrown away after use.
 *
 * The options are those with which a program inside sees an ordinary filesystem: `index` keeps hard links together when
 * one of them is written to, `redirect_dir` lets directories of the lower root be renamed, `xino` gives every file one
 * inode number for life, and `metacopy=off` copies a file's content with its attributes. What differs is that a change
 * of mode or owner, or link(2), copies the whole file up, which nobody inside can see. `volatile` makes every sync do
 * nothing: these roots see processes killed, never the power cut, and for that there are disks (test/lab/disk.ts).
 *
 * As there, a directory bears its process in its name, and the next overlay takes away those of dead processes.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { bytesFromText } from '../../../src/system/bytes.ts';
import { messageOf } from '../../../src/system/errors.ts';
import { readMounts } from '../../../src/system/mounts.ts';
import { workDirectory } from '../../lab/roots.ts';

export interface Overlay {
  /** The root, as a path of this host without symbolic links. */
  readonly directory: string;
  /** Unmounts and deletes it; a second call does nothing. @throws Error when something holds it */
  remove(): void;
}

const OPTIONS = ['index=on', 'redirect_dir=on', 'xino=on', 'metacopy=off', 'volatile'];
const PREFIX = 'debmend-overlay-';

const live = new Set<Overlay>();
let begun = false;

/** @param lower the prepared root; it must not change while the overlay is there @throws Error with what mount said */
export function overlayOver(lower: string): Overlay {
  begin();
  const home = mkdtempSync(join(workDirectory(), `${PREFIX}${ownMark()}-`));
  const [upper, work, directory] = ['upper', 'work', 'root'].map((name) => join(home, name)) as [
    string,
    string,
    string,
  ];
  const overlay: Overlay = {
    directory,
    remove: () => {
      if (live.delete(overlay)) discard(home);
    },
  };
  live.add(overlay);
  try {
    must('chmod', '0755', home);
    for (const path of [upper, work, directory]) mkdirSync(path, { mode: 0o755 });
    const layers = [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${work}`, ...OPTIONS];
    must('mount', '-t', 'overlay', 'overlay', '-o', layers.join(','), directory);
  } catch (error) {
    overlay.remove();
    throw error;
  }
  return overlay;
}

/** Once a process: what dead ones left goes now, and what this one forgets at its end. */
function begin(): void {
  if (begun) return;
  begun = true;
  const work = workDirectory();
  const ours = new RegExp(`^${PREFIX}(${pidNamespace()}-(\\d+)-(\\d+))-`);
  for (const name of readdirSync(work)) {
    const [, , pid, start] = ours.exec(name) ?? [];
    if (pid === undefined || startOf(pid) === start) continue;
    try {
      discard(join(work, name));
    } catch {
      // someone else sweeps at this moment
    }
  }
  process.once('exit', () => {
    for (const overlay of live) {
      try {
        overlay.remove();
      } catch (error) {
        process.stderr.write(`${messageOf(error)}\n`); // the next process sweeps
      }
    }
  });
}

function discard(home: string): void {
  const below = bytesFromText(`${home}/`);
  const mounted = () => readMounts().filter(({ mountPoint }) => mountPoint.startsWith(below));
  for (const { mountPoint } of mounted().reverse()) {
    // Another test's unshare(1) may copy the mount at this very moment; lazily it goes there too.
    must('umount', '--lazy', '--', Buffer.from(mountPoint, 'latin1').toString('utf8'));
  }
  if (mounted().length > 0) throw new Error(`${home} is still mounted`);
  must('rm', '-rf', '--one-file-system', '--', home); // rm(1): names in there need not be UTF-8
}

/** The number of this process means something in its PID namespace only, and with its start it is unique. */
const ownMark = (): string => `${pidNamespace()}-${process.pid}-${startOf('self')}`;
const pidNamespace = (): string => /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';

/** proc_pid_stat(5), field 22; empty for a process that is not there. */
function startOf(pid: string): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function must(program: string, ...args: string[]): void {
  const result = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  if (result.status === 0) return;
  throw new Error(`${program} ${args.join(' ')}: ${result.error ?? result.status}\n${result.stderr}`);
}
