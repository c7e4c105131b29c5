/** What reaches a terminal, a pipe, a file and the disk; and what a signal does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { debmend, ENVIRONMENT, LAUNCHER, shell, straceTest, terminal, traced } from './debmend.ts';
import { DPKG, HELLO, type TinyPackage, type TinyRoot, tinyRoot } from './tiny-root.ts';

const ESC = '\x1b';

let scratch: string;
beforeAll(() => {
  scratch = realpathSync(mkdtempSync(join(tmpdir(), 'debmend-terminal-')));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let root: TinyRoot;
beforeEach(() => {
  root = tinyRoot();
});
afterEach(() => root.remove());

/** A root whose reading takes seconds and no room on the disk: its one large file is a hole. */
const LARGE = '/usr/share/large/file';
function largeRoot(bytes: number): void {
  // No file of a package is larger than 10 GB, and a larger one would not be read.
  const pieces = Math.ceil(bytes / 9e9);
  const names = Array.from({ length: pieces }, (_, i) => (i === 0 ? LARGE : `${LARGE}.${i}`));
  root.remove();
  root = tinyRoot([{ name: 'large', files: Object.fromEntries(names.map((name) => [name, 'content'])) }]);
  for (const name of names) truncateSync(root.at(name), Math.ceil(bytes / pieces));
}
const SECONDS = 0.5e9;
const MINUTE = 60e9;

/** A root with so many findings that no pipe holds the report. */
function manyFindings(): void {
  const files = Object.fromEntries(
    Array.from({ length: 1000 }, (_, i) => [`/usr/share/many/${i}`, `content ${i}`]),
  );
  const many: TinyPackage = { name: 'many', files };
  root.remove();
  root = tinyRoot([many]);
  for (const path of Object.keys(files)) root.write(path, '');
}

describe('colours', () => {
  beforeEach(() => root.write('/usr/bin/hello', ''));

  it('are there on a terminal', () => {
    const { code, stdout } = terminal(`$debmend audit --root ${root.directory}`);
    expect(code).toBe(EXIT.findings);
    expect(stdout).toContain(`${ESC}[`);
  });

  it('are not there when NO_COLOR is set, or the terminal knows none', () => {
    const line = `$debmend audit --root ${root.directory}`;
    expect(terminal(line, { env: { NO_COLOR: '1' } }).stdout).not.toContain(ESC);
    expect(terminal(line, { env: { TERM: 'dumb' } }).stdout).not.toContain(ESC);
  });

  it('are not there in a pipe, in a file, or in JSON', () => {
    const file = join(scratch, 'page');
    const audit = `$debmend audit --root ${root.directory}`;
    expect(shell(audit).stdout).not.toContain(ESC);
    terminal(`${audit} > ${file}`);
    expect(readFileSync(file, 'utf8')).not.toContain(ESC);
    terminal(`${audit} --output ${file}`);
    expect(readFileSync(file, 'utf8')).not.toContain(ESC);
    expect(terminal(`${audit} --json`).stdout).not.toContain(ESC);
  });

  it('are not asked for by force: a pipe stays clean', () => {
    const { stdout } = debmend(['audit', '--root', root.directory], { env: { FORCE_COLOR: '3' } });
    expect(stdout).not.toContain(ESC);
  });
});

it('a terminal that does not know its width, as a serial console, gets whole lines', () => {
  root.write('/usr/bin/hello', '');
  const file = join(scratch, 'piped');
  terminal(`$debmend audit --root ${root.directory} > ${file}`);
  // The seconds differ from run to run; with them the rest of the line.
  const steady = (text: string) => text.replaceAll('\r', '').replace(/ read in .*/, '');
  const { stdout } = terminal(`stty cols 0; $debmend audit --root ${root.directory}`, {
    env: { NO_COLOR: '1' },
  });
  expect(steady(stdout)).toBe(steady(readFileSync(file, 'utf8')));
});

describe('the progress bar', () => {
  it('is on the terminal while a long run lasts, on standard error alone', () => {
    largeRoot(SECONDS);
    const file = join(scratch, 'report.json');
    const { stdout: bar } = terminal(`$debmend audit --json --root ${root.directory} > ${file}`);
    expect(bar).toMatch(/reading .*%.* MB/);
    expect(bar).toContain('#');
    // It takes its line away, and gives the cursor back.
    expect(bar.lastIndexOf(`${ESC}[?25h`)).toBeGreaterThan(bar.lastIndexOf(`${ESC}[?25l`));
    expect(JSON.parse(readFileSync(file, 'utf8')).summary.bytesRead).toBeGreaterThanOrEqual(SECONDS);
  });

  it('is not there when standard error is no terminal', () => {
    largeRoot(SECONDS);
    const errors = join(scratch, 'errors');
    const { stdout } = terminal(`$debmend audit --root ${root.directory} 2> ${errors}`);
    expect(readFileSync(errors, 'utf8')).toBe('');
    expect(stdout).not.toMatch(/%|\?25/);
  });

  it('is not there in a short run', () => {
    const file = join(scratch, 'short');
    expect(terminal(`$debmend audit --root ${root.directory} > ${file}`)).toMatchObject({
      code: 0,
      stdout: '',
    });
  });
});

describe('a pipe whose reader has gone', () => {
  it.each(['--json', '--all'])('is no failure: %s', (option) => {
    manyFindings();
    const { stdout, stderr } = shell(
      `$debmend audit ${option} --root ${root.directory} | head -1; echo "\${PIPESTATUS[0]}"`,
    );
    expect(stderr).toBe('');
    expect(stdout.split('\n')[1]).toBe(String(EXIT.findings));
  });

  it('is no failure from the start', () => {
    const { stdout, stderr } = shell(
      `$debmend audit --root ${root.directory} | true; echo "\${PIPESTATUS[0]}"`,
    );
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' });
  });
});

it('a disk that is full under standard output is a failure that is said', () => {
  const { code, stderr } = shell(`$debmend audit --root ${root.directory} > /dev/full`);
  expect(code).toBe(EXIT.failed);
  expect(stderr).toMatch(/^debmend: writing to standard output: ENOSPC \[output-unwritable\]\nhint: /);
});

describe('an interruption', () => {
  /** Runs until the large file is being read. */
  async function reading(args: readonly string[]) {
    const child = spawn(LAUNCHER, ['audit', '--root', root.directory, ...args], {
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk));
    for (const end = Date.now() + 30_000; !opened(child.pid).includes(root.at(LARGE)); await sleep(20)) {
      if (Date.now() > end || child.exitCode !== null) throw new Error(`never read it: ${output.stderr}`);
    }
    return { child, output };
  }
  const opened = (pid: number | undefined): string[] => {
    const directory = `/proc/${pid}/fd`;
    try {
      return readdirSync(directory).map((fd) => readlinkSync(join(directory, fd)));
    } catch {
      return []; // closed while it was looked at
    }
  };

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'by %s ends with 130, says so, and leaves nothing behind',
    async (signal) => {
      largeRoot(MINUTE);
      const file = join(scratch, 'interrupted.json');
      const { child, output } = await reading(['--json', '--output', file]);
      const sent = performance.now();
      child.kill(signal);
      const [code] = await once(child, 'close');
      expect(performance.now() - sent).toBeLessThan(10_000); // the files would take a minute
      expect(code).toBe(EXIT.interrupted);
      expect(output).toEqual({
        stdout: '',
        stderr: 'debmend: interrupted [interrupted]\nhint: nothing was changed; run it again\n',
      });
      expect(readdirSync(scratch).filter((name) => name.includes('interrupted'))).toEqual([]);
    },
  );
});

describe('on the disk', () => {
  straceTest('--output syncs the file before it takes its place, and the directory afterwards', () => {
    const file = join(scratch, 'durable.json');
    const { calls } = traced('openat,write,pwrite64,fsync,rename,renameat,renameat2', [
      'audit',
      '--json',
      '--root',
      root.directory,
      '--output',
      file,
    ]);
    const about = calls
      .filter(({ line }) => line.includes(scratch))
      .map(({ name, line }) => ({ name, line }));
    const temporary = /"([^"]+)"/.exec(about[0]?.line ?? '')?.[1] ?? '';
    expect(temporary).toMatch(new RegExp(`^${scratch}/\\.durable\\.json\\.debmend-new$`));
    expect(about[0]?.line).toMatch(/O_CREAT\|O_EXCL/);
    const steps = about.map(({ name, line }) => `${name} ${line.includes(temporary) ? 'file' : 'directory'}`);
    expect(steps.filter((step, at) => step !== steps[at - 1])).toEqual([
      'openat file',
      'write file',
      'fsync file',
      'rename file',
      'openat directory',
      'fsync directory',
    ]);
    expect(existsSync(temporary)).toBe(false);
  });

  const owned = (): string[] =>
    [
      ...Object.keys(HELLO.files ?? {}),
      ...Object.keys(HELLO.conffiles ?? {}),
      ...Object.keys(DPKG.files ?? {}),
    ]
      .map((path) => root.at(path))
      .sort();
  const openedOf = (args: readonly string[]): string[] => {
    const { calls } = traced('open,openat', ['audit', '--root', root.directory, ...args]);
    const paths = new Set(calls.map(({ line }) => /"([^"]+)"/.exec(line)?.[1]));
    return owned().filter((path) => paths.has(path));
  };

  straceTest('--quick opens no file of any package, and a full run opens them all', () => {
    expect(openedOf([])).toEqual(owned());
    expect(openedOf(['--quick'])).toEqual([]);
  });

  straceTest('nothing inside the root is opened for writing, made, renamed or deleted', () => {
    root.write('/usr/bin/hello', '');
    root.write('/usr/share/hello/data.dpkg-new', '');
    const { calls } = traced('%file,fchmod,fchown,ftruncate,fsync', ['audit', '--root', root.directory]);
    const inside = calls.filter(({ line }) => line.includes(`${root.directory}/`));
    expect(inside.length).toBeGreaterThan(10);
    const READS = new Set([
      'openat',
      'stat',
      'lstat',
      'newfstatat',
      'statx',
      'readlink',
      'readlinkat',
      'access',
      'faccessat2',
      'faccessat',
      'open',
    ]);
    expect(
      inside.filter(({ name, line }) => !READS.has(name) || /O_(WRONLY|RDWR|CREAT|TRUNC)/.test(line)),
    ).toEqual([]);
  });
});
