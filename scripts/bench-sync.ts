/**
 * What it costs to make an installation durable, by the ways there are: `npm run bench:sync`, as root.
 *
 * On an ext4 of its own, on a loop file with direct I/O: a tree as an installation leaves it is written anew, synced
 * where dpkg syncs, and the contender makes the rest durable. Each round runs every contender once; what counts is
 * the median. The busy half has a second process that fills the same filesystem with new files, as a database does that
 * loads a dump: what a contender writes of its, it writes in vain.
 */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Disk, throwawayDisk } from '../test/lab/disk.ts';

const USAGE = `usage: npm run bench:sync -- [options]

  --rounds N   rounds (default 5)
  --files N    files of the packages (default 1500)
  --dirty MB   what the busy writer keeps unwritten (default 768)
  --pace MB    what it goes on writing in a second meanwhile (default 100)`;

/** As many as a MariaDB installation's maintainer scripts left unsynced (facts: 17 files outside any manifest). */
const SCRIPT_FILES = 17;
const MEBIBYTE = 1024 ** 2;
const WRITER_FILE_BYTES = 64 * MEBIBYTE;
const CHUNK = Buffer.alloc(MEBIBYTE, 'a database that loads a dump ');
/** As many requests at once as libuv has threads by itself. */
const THREADS = 4;

interface Contender {
  readonly label: string;
  run(directory: string, files: readonly string[]): Promise<void> | void;
}

const CONTENDERS: readonly Contender[] = [
  { label: '`sync -f DIR` (syncfs)', run: (directory) => sync('--file-system', directory) },
  { label: 'fsync, one by one', run: (_, files) => oneByOne(files, fsyncSync) },
  { label: 'fdatasync, one by one', run: (_, files) => oneByOne(files, fdatasyncSync) },
  { label: `fsync, ${THREADS} at once`, run: (_, files) => atOnce(files) },
  { label: '`sync FILE…` (coreutils)', run: (_, files) => sync('--', ...files) },
];

/** What is still to be made durable when a contender starts. */
interface Workload {
  readonly label: string;
  /** Whether dpkg has synced its own files before, as it does without --force-unsafe-io. */
  readonly dpkgSynced: boolean;
}

const WORKLOADS: readonly Workload[] = [
  { label: 'all files', dpkgSynced: false },
  { label: "the scripts' files, dpkg having synced its own", dpkgSynced: true },
];

interface Sample {
  readonly ms: number;
  readonly mebibytes: number;
  readonly flushes: number;
}

class BenchError extends Error {}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === undefined) return 2;
  const disk = throwawayDisk({ type: 'ext4', size: 8 * 1024 * MEBIBYTE });
  try {
    // Otherwise each flush of the loop device writes all of the image that the host has cached, a second disk's worth.
    spawnSync('losetup', ['--direct-io=on', disk.device]);
    process.stdout.write(`${describe(options, disk).join('\n')}\n`);
    for (const workload of WORKLOADS) {
      const quiet = await measure(disk, workload, options, undefined);
      const writer = await startWriter(disk, options);
      const busy = await measure(disk, workload, options, writer);
      writer.kill('SIGKILL');
      await once(writer, 'exit');
      process.stdout.write(`\n${table(workload, options, quiet, busy).join('\n')}\n`);
    }
    return 0;
  } finally {
    disk.remove();
  }
}

interface Options {
  readonly rounds: number;
  readonly files: number;
  readonly dirty: number;
  readonly pace: number;
}

function readOptions(): Options | undefined {
  const text = { type: 'string' } as const;
  try {
    const { values } = parseArgs({ options: { rounds: text, files: text, dirty: text, pace: text } });
    const number = (value: string | undefined, otherwise: number): number => {
      if (value !== undefined && !/^[1-9]\d*$/.test(value)) throw new BenchError(`${value} is no count`);
      return value === undefined ? otherwise : Number(value);
    };
    return {
      rounds: number(values.rounds, 5),
      files: number(values.files, 1500),
      dirty: number(values.dirty, 768),
      pace: number(values.pace, 100),
    };
  } catch (error) {
    process.stderr.write(`bench-sync: ${error instanceof Error ? error.message : error}\n${USAGE}\n`);
    return undefined;
  }
}

type Samples = ReadonlyMap<Contender, readonly Sample[]>;

async function measure(
  disk: Disk,
  workload: Workload,
  options: Options,
  writer: ChildProcess | undefined,
): Promise<Samples> {
  const samples = new Map<Contender, Sample[]>(CONTENDERS.map((contender) => [contender, []]));
  // The first round is for the caches alone.
  for (let round = 0; round <= options.rounds; round += 1) {
    for (const contender of CONTENDERS) {
      const tree = join(disk.directory, 'tree');
      rmSync(tree, { recursive: true, force: true });
      scriptFiles(tree, 'before');
      disk.sync();
      if (writer !== undefined) await dirtied(writer);
      const packaged = packageFiles(tree, options.files);
      if (workload.dpkgSynced) await atOnce(packaged);
      const scripted = scriptFiles(tree, 'after');
      const files = workload.dpkgSynced ? scripted : [...packaged, ...scripted];
      const counted = counters(disk);
      const started = performance.now();
      await contender.run(tree, files);
      const ms = performance.now() - started;
      const now = counters(disk);
      if (round === 0) continue;
      samples.get(contender)?.push({
        ms,
        mebibytes: (now.bytes - counted.bytes) / MEBIBYTE,
        flushes: now.flushes - counted.flushes,
      });
    }
    process.stderr.write(
      `bench-sync: ${workload.label}, ${writer ? 'busy' : 'quiet'}, round ${round} of ${options.rounds}\n`,
    );
  }
  return samples;
}

/** What dpkg unpacks: most files are small, one in fifty is a program or a library. */
function packageFiles(tree: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const directory = join(tree, 'usr', `package-${i % 60}`);
    mkdirSync(directory, { recursive: true });
    const file = join(directory, `file-${i}`);
    const bytes = i % 50 === 0 ? 200_000 : 500 + ((i * 7919) % 12_000);
    writeFileSync(file, CHUNK.subarray(0, bytes));
    return file;
  });
}

/** What maintainer scripts write into /etc and /var, some of it over what was there. */
function scriptFiles(tree: string, content: string): string[] {
  return Array.from({ length: SCRIPT_FILES }, (_, i) => {
    const directory = join(tree, i % 2 === 0 ? 'etc' : 'var');
    mkdirSync(directory, { recursive: true });
    const file = join(directory, content === 'before' && i % 3 === 0 ? `new-${i}` : `file-${i}`);
    writeFileSync(file, `${content}\n`.repeat(100 + i * 50));
    return file;
  });
}

function oneByOne(files: readonly string[], sync: (fd: number) => void): void {
  for (const file of files) {
    const fd = openSync(file, 'r');
    try {
      sync(fd);
    } finally {
      closeSync(fd);
    }
  }
}

async function atOnce(files: readonly string[]): Promise<void> {
  const left = files.values();
  const worker = async (): Promise<void> => {
    for (const file of left) {
      const handle: FileHandle = await open(file, 'r');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  };
  await Promise.all(Array.from({ length: THREADS }, worker));
}

function sync(...args: string[]): void {
  const { status, stderr } = spawnSync('sync', args, { encoding: 'utf8' });
  if (status !== 0) throw new BenchError(`sync ended with ${status}: ${stderr}`);
}

/** What the device has been asked for (the kernel's Documentation/block/stat.rst): sectors of 512 bytes, flushes. */
function counters(disk: Disk): { bytes: number; flushes: number } {
  const stat = readFileSync(`/sys/block/${basename(disk.device)}/stat`, 'latin1')
    .trim()
    .split(/\s+/);
  return { bytes: Number(stat[6]) * 512, flushes: Number(stat[15]) };
}

async function startWriter(disk: Disk, options: Options): Promise<ChildProcess> {
  const directory = join(disk.directory, 'database');
  const args = ['--writer', directory, String(options.dirty), String(options.pace)];
  const writer = fork(import.meta.filename, args);
  await once(writer, 'message');
  return writer;
}

/** Waits until the writer has written its whole amount anew; then it goes on at its pace. */
async function dirtied(writer: ChildProcess): Promise<void> {
  writer.send('dirty');
  await once(writer, 'message');
}

/** The other process. New files only: ext4 gives them blocks when it writes them, and not before. */
async function write(directory: string, dirty: number, pace: number): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const files = Math.max(1, Math.round((dirty * MEBIBYTE) / WRITER_FILE_BYTES));
  let turn = 0;
  let written = WRITER_FILE_BYTES;
  let fd: number | undefined;
  const writeOne = (): void => {
    if (fd === undefined || written >= WRITER_FILE_BYTES) {
      if (fd !== undefined) closeSync(fd);
      const path = join(directory, String(turn % files));
      rmSync(path, { force: true });
      fd = openSync(path, 'w');
      turn += 1;
      written = 0;
    }
    written += writeSync(fd, CHUNK);
  };
  process.on('message', () => {
    for (let i = 0; i < (files * WRITER_FILE_BYTES) / CHUNK.length; i += 1) writeOne();
    process.send?.('done');
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
  for (;;) {
    await sleep(1000 / 20);
    for (let i = 0; i < pace / 20; i += 1) writeOne();
  }
}

function describe(options: Options, disk: Disk): string[] {
  const direct = readFileSync(`/sys/block/${basename(disk.device)}/loop/dio`, 'latin1').trim() === '1';
  return [
    `- Machine: ${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} processors, ${(totalmem() / 1e9).toFixed(1)} GB of memory, Linux ${release()}, Node.js ${process.versions.node}`,
    `- Disk: ext4 on a loop device, ${direct ? 'with' : 'without'} direct I/O`,
    `- Tree: ${options.files} files of packages, ${SCRIPT_FILES} of maintainer scripts; ${options.rounds} rounds`,
    `- Busy: ${options.dirty} MiB of new files not written back, and ${options.pace} MiB a second more`,
  ];
}

function table(workload: Workload, options: Options, quiet: Samples, busy: Samples): string[] {
  const count = SCRIPT_FILES + (workload.dpkgSynced ? 0 : options.files);
  const titles = [`${workload.label} (${count})`, 'quiet', 'range', 'MiB', 'flushes'];
  const head = [...titles, 'busy', ...titles.slice(2)];
  const rows = CONTENDERS.map((contender) => [
    contender.label,
    ...columns(quiet.get(contender) ?? []),
    ...columns(busy.get(contender) ?? []),
  ]);
  return [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map(
    (row) => `| ${row.join(' | ')} |`,
  );
}

function columns(samples: readonly Sample[]): string[] {
  const ms = samples.map((sample) => sample.ms);
  return [
    `${round(median(ms))} ms`,
    `${round(Math.min(...ms))} to ${round(Math.max(...ms))}`,
    round(median(samples.map(({ mebibytes }) => mebibytes))),
    round(median(samples.map(({ flushes }) => flushes))),
  ];
}

const round = (value: number): string => (value < 10 ? value.toFixed(1) : value.toFixed(0));

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  return sorted.length % 2 === 1 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2;
}

const [flag, directory, dirty, pace] = process.argv.slice(2);
try {
  if (flag === '--writer' && directory !== undefined) await write(directory, Number(dirty), Number(pace));
  else process.exitCode = await main();
} catch (error) {
  process.stderr.write(`bench-sync: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
