/**
 * What the hooks add to a one-package installation on a system of 100,000 files, and how long snapshots take beside the
 * audit. `npm run bench:hooks [-- --rounds 9]`; needs root and what the tests need.
 *
 * The hooks are timed from outside, by a shell script that stands in for debmend-hook and calls it. What the seal waited
 * for the disk stands in its record, and is shown apart.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { inventorySchema } from '../src/model/inventory.ts';
import { installDebmend, mustInRoot } from '../test/lab/chroot.ts';
import { publish } from '../test/lab/packages.ts';
import { debianRoot } from '../test/lab/roots.ts';

const PACKAGES = 10;
const DIRECTORIES = 100;
const FILES = 92;
/** Where the hooks' program stands in the root, under the name that a hook passes over when it looks for its caller. */
const TIMED = '/usr/local/bin/debmend-hook';
const TIMES = '/var/tmp/hook-times';

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' } } });
  const rounds = Number(values.rounds);
  const root = await debianRoot('bookworm', { include: ['libatomic1'] });
  try {
    const { directory } = root;
    fill(directory);
    await installDebmend(directory);
    await publish(directory, {
      name: 'one',
      files: { '/usr/share/one/file': 'one\n', '/usr/bin/one': '#!/bin/sh\n' },
    });
    const install = ['apt-get', '-y', 'install', 'one'];
    const purge = ['dpkg', '--purge', 'one'];
    writeFileSync(
      join(directory, TIMED),
      `#!/bin/sh\ns=$(date +%s%N)\n/usr/lib/debmend/bin/debmend-hook "$@"\nrc=$?\necho "$1 $((($(date +%s%N) - s) / 1000))" >>${TIMES}\nexit $rc\n`,
      { mode: 0o755 },
    );
    await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
    const created = inventorySchema.parse(
      JSON.parse(await mustInRoot(directory, ['debmend', 'snapshot', 'create', '--json'])),
    );
    console.log(`paths known: ${created.snapshot?.entries}`);

    const times = { without: [] as number[], with: [] as number[], empty: [] as number[] };
    const sync: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      for (const hooked of [false, true]) {
        const words = hooked ? ['install', '--program', TIMED] : ['remove'];
        await mustInRoot(directory, ['debmend', 'hooks', ...words]);
        if (round === 0) rmSync(join(directory, TIMES), { force: true });
        const started = performance.now();
        await mustInRoot(directory, install);
        // The first round fills caches, and is not counted.
        if (round > 0) times[hooked ? 'with' : 'without'].push(performance.now() - started);
        if (hooked && round > 0) {
          const { transactions = [] } = inventorySchema.parse(
            JSON.parse(await mustInRoot(directory, ['debmend', 'transaction', 'show', 'latest', '--json'])),
          );
          sync.push((transactions[0]?.seal?.sync?.seconds ?? 0) * 1000);
        }
        await mustInRoot(directory, [...purge], { env: { DEBMEND_HOOKS: 'off' } });
      }
      const started = performance.now();
      spawnSync(process.execPath, ['-e', '0']);
      times.empty.push(performance.now() - started);
    }
    const lines = readFileSync(join(directory, TIMES), 'utf8').trimEnd().split('\n');
    const of = (hook: string): number[] =>
      lines.filter((line) => line.startsWith(`${hook} `)).map((line) => Number(line.split(' ')[1]) / 1000);
    const post = of('apt-post').slice(-sync.length);
    show('an empty Node.js program', times.empty);
    show('before: apt-pre', of('apt-pre').slice(-rounds));
    show('after: apt-post, all of it', post);
    show('after: the sync in it', sync);
    show(
      'after: apt-post without the sync',
      post.map((time, at) => time - (sync[at] ?? 0)),
    );
    show('within apt: dpkg-pre and dpkg-post, each', [...of('dpkg-pre'), ...of('dpkg-post')]);
    show('apt-get install without hooks', times.without);
    show('apt-get install with hooks', times.with);
  } finally {
    root.remove();
  }
  await snapshots(Math.min(rounds, 3));
}

/** Snapshots of this machine, into a store of their own, beside its audit. */
async function snapshots(rounds: number): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'debmend-bench-'));
  const launcher = join(import.meta.dirname, '../bin/debmend');
  const time = (...args: string[]): number => {
    const started = performance.now();
    const run = spawnSync(launcher, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    if (run.status !== 0) throw new Error(`debmend ${args.join(' ')} ended with ${run.status}`);
    return performance.now() - started;
  };
  try {
    const audit: number[] = [];
    const first: number[] = [];
    const again: number[] = [];
    time('audit', '--fail-on', 'never');
    for (let round = 0; round < rounds; round += 1) {
      const store = join(home, String(round));
      audit.push(time('audit', '--fail-on', 'never'));
      first.push(time('snapshot', 'create', '--store', store));
      time('snapshot', 'create', '--store', store);
      again.push(time('snapshot', 'create', '--store', store));
    }
    console.log('this machine, warm:');
    show('full audit', audit);
    show('first snapshot', first);
    show('snapshot with nothing changed', again);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** Ten packages of 9,200 files each, as dpkg would have left them. */
function fill(directory: string): void {
  for (let at = 0; at < PACKAGES; at += 1) {
    const name = `bulk${at}`;
    let list = `/.\n/usr\n/usr/share\n/usr/share/${name}\n`;
    let md5sums = '';
    for (let folder = 0; folder < DIRECTORIES; folder += 1) {
      const path = `/usr/share/${name}/dir${folder}`;
      mkdirSync(directory + path, { recursive: true });
      list += `${path}\n`;
      for (let file = 0; file < FILES; file += 1) {
        const content = `${name} ${folder} ${file}\n`.repeat(20 + file);
        writeFileSync(`${directory}${path}/file${file}`, content);
        list += `${path}/file${file}\n`;
        const hash = createHash('md5').update(content).digest('hex');
        md5sums += `${hash}  ${path.slice(1)}/file${file}\n`;
      }
    }
    writeFileSync(join(directory, `var/lib/dpkg/info/${name}.list`), list);
    writeFileSync(join(directory, `var/lib/dpkg/info/${name}.md5sums`), md5sums);
    appendFileSync(
      join(directory, 'var/lib/dpkg/status'),
      `Package: ${name}\nStatus: install ok installed\nMaintainer: x <x@example.org>\nArchitecture: all\nVersion: 1\nDescription: many files\n\n`,
    );
  }
}

function show(what: string, times: readonly number[]): void {
  const sorted = [...times].sort((a, b) => a - b);
  const [least = 0, most = 0] = [sorted[0], sorted.at(-1)];
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  console.log(
    `${what.padEnd(45)} ${median.toFixed(0).padStart(7)} ms  (${least.toFixed(0)}–${most.toFixed(0)})`,
  );
}

await main();
