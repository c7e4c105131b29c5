/** bin/debmend-marker, which debmend-marker.service runs: what it writes, and what a kill in its middle leaves. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bootId } from '../../src/system/boot.ts';
import { PROJECT, straceTest } from '../cli/debmend.ts';

const PROGRAM = join(PROJECT, 'bin/debmend-marker');
const OTHER = 'boot=11111111-2222-3333-4444-555555555555 at=2026-01-01T00:00:00.000Z uptime=12.50';
const MARKER = /^boot=[0-9a-f-]{36} at=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z uptime=\d+\.\d\d\n$/;

let scratch: string;
let store: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'debmend-marker-'));
  store = join(scratch, 'store');
});
afterEach(() => rmSync(scratch, { recursive: true }));

const env = () => ({ ...process.env, DEBMEND_STORE: store });
const marker = (argument: string) => spawnSync(PROGRAM, [argument], { env: env(), encoding: 'utf8' });
const text = (name: string) => readFileSync(join(store, name), 'utf8');

/** A boot that left its marker behind. */
function leaveMarker(content: string): void {
  expect(marker('set').status).toBe(0);
  writeFileSync(join(store, 'running'), content);
}

it('set says which boot runs, for root alone, and clear takes it back', () => {
  expect(marker('set')).toMatchObject({ status: 0, stdout: '', stderr: '' });
  expect(text('running')).toMatch(MARKER);
  expect(text('running')).toContain(`boot=${bootId()} `);
  expect(readdirSync(store)).toEqual(['running']);
  expect(statSync(store).mode & 0o777).toBe(0o700);
  expect(marker('clear')).toMatchObject({ status: 0, stdout: '', stderr: '' });
  expect(readdirSync(store)).toEqual(['clean-ends']);
  expect(text('clean-ends')).toMatch(MARKER);
  expect(marker('clear').status).toBe(0);
  expect(text('clean-ends')).toMatch(MARKER);
});

it('set once more in the same boot changes nothing: no outage is made of it', () => {
  marker('set');
  const before = text('running');
  expect(marker('set').status).toBe(0);
  expect(text('running')).toBe(before);
  expect(existsSync(join(store, 'unclean-ends'))).toBe(false);
});

it('set keeps the marker of a boot that left it behind, with the boot that found it', () => {
  leaveMarker(`${OTHER}\n`);
  expect(marker('set').status).toBe(0);
  expect(text('running')).toContain(`boot=${bootId()} `);
  expect(text('unclean-ends')).toBe(`${OTHER} found=${bootId()}\n`);
  // An orderly end leaves the evidence of the earlier one.
  marker('clear');
  marker('set');
  expect(text('unclean-ends')).toBe(`${OTHER} found=${bootId()}\n`);
});

it.each([
  ['empty', '', 'boot=- at=- uptime=-'],
  ['all NUL', '\0'.repeat(4096), 'boot=- at=- uptime=-'],
  ['endless', 'x'.repeat(1_000_000), 'x'.repeat(200)],
  ['of many lines', 'boot=a\nboot=b\n', 'boot=aboot=b'],
])('a damaged marker is one line of evidence all the same: %s (I8)', (_, content, kept) => {
  leaveMarker(content);
  expect(marker('set').status).toBe(0);
  expect(text('unclean-ends')).toBe(`${kept} found=${bootId()}\n`);
});

it('keeps the last fifty', () => {
  leaveMarker(`${OTHER}\n`);
  writeFileSync(join(store, 'unclean-ends'), Array.from({ length: 60 }, (_, n) => `n=${n}\n`).join(''));
  expect(marker('set').status).toBe(0);
  const lines = text('unclean-ends').trimEnd().split('\n');
  expect(lines).toHaveLength(50);
  expect([lines[0], lines[48], lines[49]]).toEqual(['n=11', 'n=59', `${OTHER} found=${bootId()}`]);
});

it('says what is wrong, and fails, where it cannot write', () => {
  writeFileSync(store, 'a file');
  const { status, stderr } = marker('set');
  expect(status).not.toBe(0);
  expect(stderr).toContain(store);
  expect(marker('frob')).toMatchObject({ status: 2, stderr: 'usage: debmend-marker set|clear\n' });
});

straceTest('whatever step it is killed at, the evidence is there after the next start (I4)', () => {
  const moves = 'rename,renameat,renameat2';
  // Every call that writes, with the file that it is about: strace counts calls by process, and here each has its own.
  const steps = [
    ['write', 'unclean-ends.debmend-new'],
    ['fsync', 'unclean-ends.debmend-new'],
    [moves, 'unclean-ends.debmend-new'],
    ['fsync', ''],
    ['write', 'running.debmend-new'],
    ['fsync', 'running.debmend-new'],
    [moves, 'running.debmend-new'],
  ] as const;
  for (const [call, name] of steps) {
    rmSync(store, { recursive: true, force: true });
    leaveMarker(`${OTHER}\n`);
    const log = join(scratch, 'trace');
    const kill = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL`, '-P', join(store, name)];
    const killed = spawnSync('strace', ['-f', '-o', log, ...kill, PROGRAM, 'set'], { env: env() });
    expect({ call, name, log: readFileSync(log, 'utf8') }).toMatchObject({
      log: expect.stringContaining('killed by SIGKILL'),
    });
    expect(killed.status).not.toBe(0);
    expect(marker('set').status).toBe(0);
    expect(text('running')).toMatch(MARKER);
    expect(text('running')).toContain(`boot=${bootId()} `);
    expect(new Set(text('unclean-ends').trimEnd().split('\n'))).toEqual(
      new Set([`${OTHER} found=${bootId()}`]),
    );
  }
});

straceTest('what it wrote is on disk before it returns', () => {
  leaveMarker(`${OTHER}\n`);
  const log = join(scratch, 'trace');
  const order = (argument: string) => {
    const args = [
      '-f',
      '-y',
      '-o',
      log,
      '-e',
      'trace=fsync,rename,renameat,renameat2,unlinkat',
      PROGRAM,
      argument,
    ];
    expect(spawnSync('strace', args, { env: env() }).status).toBe(0);
    return readFileSync(log, 'utf8')
      .split('\n')
      .flatMap((line) => {
        const sync = /fsync\(\d+<([^>]+)>\)\s+= 0/.exec(line)?.[1];
        const move = /rename\w*\(.*"([^"]+)"(?:, [A-Z_|0]+)?\)\s+= 0/.exec(line)?.[1];
        const gone = /unlinkat\(.*"([^"]+)", 0\)\s+= 0/.exec(line)?.[1];
        if (sync !== undefined) return [`sync ${sync}`];
        if (move !== undefined) return [`move ${move}`];
        return gone === undefined ? [] : [`unlink ${gone}`];
      })
      .map((line) => line.replace(store, 'store'));
  };
  expect(order('set')).toEqual([
    'sync store/unclean-ends.debmend-new',
    'move store/unclean-ends',
    'sync store',
    'sync store/running.debmend-new',
    'move store/running',
    'sync store',
  ]);
  expect(order('clear')).toEqual([
    'sync store/clean-ends.debmend-new',
    'move store/clean-ends',
    'sync store',
    'unlink store/running',
    'sync store',
  ]);
});
