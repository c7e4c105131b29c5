/**
 * Power cuts around the hooks, on throwaway disks: what the store holds when the power goes right after the pre hook
 * returned, and which files of a MariaDB installation a cut takes seconds after it finished. The short forms are tests,
 * the long ones `node scripts/cuts.ts`.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import Database from 'better-sqlite3';
import { type Inventory, inventorySchema } from '../../src/model/inventory.ts';
import { type Transaction, transactionSchema } from '../../src/model/transaction.ts';
import { Contents } from '../../src/snapshot/contents.ts';
import { Entries } from '../../src/snapshot/entries.ts';
import { findSnapshot } from '../../src/snapshot/snapshots.ts';
import { openStore } from '../../src/snapshot/store.ts';
import { openTransactions } from '../../src/snapshot/transaction/record.ts';
import { messageOf } from '../../src/system/errors.ts';
import { Root } from '../../src/system/root.ts';
import { denyServices, inRoot, installDebmend, mustInRoot } from '../lab/chroot.ts';
import { type Disk, type DiskOptions, throwawayDisk } from '../lab/disk.ts';
import { buildPackage, localArchive, type TinyPackage } from '../lab/packages.ts';

const STORE = 'var/lib/debmend';
const INCLUDE = ['libatomic1'];
type Say = (line: string) => void;

/** The filesystems that the cuts go around; each loses what was not synced in its own way. */
export const VARIANTS: readonly DiskOptions[] = [
  { type: 'ext4' },
  { type: 'ext4', mountOptions: ['noauto_da_alloc'] },
  { type: 'xfs' },
];

export interface PreCuts {
  readonly total: number;
  /** Of each cut after which something was missing, what. */
  readonly failures: readonly string[];
}

/** What the last of apt's hooks writes when debmend's has returned. Nobody syncs it: a cut has to take it away. */
const SIGNAL = 'var/tmp/all-hooks-ran';
const LAST_HOOK = `DPkg::Pre-Install-Pkgs { "echo so > /${SIGNAL}; exec sleep 60"; };\n`;

/** Cuts the power right after the pre hook of an upgrade returned, on each variant in turn, and looks at the store. */
export async function preCuts(cuts: number, say: Say = () => {}): Promise<PreCuts> {
  const failures: string[] = [];
  for (const [at, variant] of VARIANTS.entries()) {
    const share = Math.floor((cuts + VARIANTS.length - 1 - at) / VARIANTS.length);
    if (share === 0) continue;
    const name = [variant.type, ...(variant.mountOptions ?? [])].join(' ');
    const disk = throwawayDisk(variant);
    try {
      await prepareUpgrades(disk, share);
      for (let cut = 1; cut <= share; cut += 1) {
        const wrong = await preCut(disk, cut);
        say(`${name} ${cut}: ${wrong.length === 0 ? 'whole' : wrong.join('; ')}`);
        if (wrong.length > 0) failures.push(`${name} ${cut}: ${wrong.join('; ')}`);
      }
    } finally {
      disk.remove();
    }
  }
  return { total: cuts, failures };
}

/** Two packages, so that there is more than one .deb to keep; random content, so that nothing compresses away. */
function upgrade(version: string): TinyPackage[] {
  const data = randomBytes(64 * 1024);
  return [
    {
      name: 'tiny',
      version,
      files: { '/usr/share/tiny/data': data, '/usr/bin/tiny': 'a program', '/etc/tiny.conf': 'as shipped\n' },
      conffiles: ['/etc/tiny.conf'],
    },
    { name: 'tiny-data', version, files: { '/usr/share/tiny-data/data': data.subarray(0, 3 * 4096) } },
  ];
}

async function prepareUpgrades(disk: Disk, upgrades: number): Promise<void> {
  await disk.fill('bookworm', { include: INCLUDE });
  const { directory } = disk;
  await installDebmend(directory);
  await mustInRoot(directory, ['debmend', 'hooks', 'install']);
  const scratch = mkdtempSync(join(tmpdir(), 'debmend-cuts-'));
  try {
    const versions = Array.from({ length: upgrades + 1 }, (_, at) => `1.${at}`);
    const debs = versions.flatMap(upgrade).map((pkg) => buildPackage(pkg, scratch));
    // `copy`: apt puts the .debs into its cache and does not sync them, as it does with what comes by a network.
    await localArchive(directory, debs, { method: 'copy' });
  } finally {
    rmSync(scratch, { recursive: true });
  }
  await mustInRoot(directory, ['apt-get', '-y', 'install', 'tiny=1.0', 'tiny-data=1.0']);
  await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
  writeFileSync(join(directory, 'etc/apt/apt.conf.d/99zz-last'), LAST_HOOK);
  disk.sync();
}

/** @returns what is not as it has to be; each cut upgrades to a version of its own */
async function preCut(disk: Disk, cut: number): Promise<string[]> {
  const { directory } = disk;
  const version = `1.${cut}`;
  // Something that only the snapshot of this very transaction can know.
  const conf = `edited before cut ${cut}\n`;
  writeFileSync(join(directory, 'etc/tiny.conf'), conf);
  disk.sync();
  const installing = inRoot(directory, [
    ...['apt-get', '-y', '-o', 'Dpkg::Options::=--force-confold', 'install'],
    ...[`tiny=${version}`, `tiny-data=${version}`],
  ]);
  let ended = false;
  const end = installing.finally(() => {
    ended = true;
  });
  while (!existsSync(join(directory, SIGNAL))) {
    if (ended) throw new Error(`apt-get ended before its last hook: ${JSON.stringify(await installing)}`);
    await sleep(1);
  }
  disk.cut();
  await end;
  disk.restore();

  const wrong: string[] = [];
  const check = (right: boolean, what: string) => void (right || wrong.push(what));
  const signal = join(directory, SIGNAL);
  check(!existsSync(signal) || statSync(signal).size === 0, 'the cut took nothing away');
  rmSync(signal, { force: true });
  let id = '';
  let snapshot = 0;
  try {
    // A copy: whoever opens the store ends a transaction whose process is gone.
    const copy = mkdtempSync(join(tmpdir(), 'debmend-cuts-'));
    try {
      mkdirSync(join(copy, 'var/lib'), { recursive: true });
      cpSync(join(directory, STORE), join(copy, STORE), { recursive: true });
      const open = await checkStore(copy, conf, check);
      id = open.id;
      snapshot = open.snapshotBefore ?? 0;
      checkTransaction(open, version, join(directory, STORE, 'transactions', id), check);
    } finally {
      rmSync(copy, { recursive: true });
    }
    // And what debmend itself says of it.
    const { transactions = [] } = await inventory(directory, 'transaction', 'list');
    const listed = transactions.at(-1);
    check(listed?.id === id, 'transaction list does not have it');
    check(listed !== undefined && isDeepStrictEqual(names(listed), NAMES), 'listed without its packages');
    const { entries = [] } = await inventory(directory, 'snapshot', 'show', String(snapshot));
    for (const path of ['/usr/share/tiny/data', '/usr/share/tiny-data/data', '/etc/tiny.conf'])
      check(
        entries.some((entry) => entry.path === path && entry.xxh64 !== undefined),
        `${path} is not shown`,
      );
    check(!existsSync(join(directory, STORE, 'damaged')), 'the store was set aside');
    check(!existsSync(join(directory, STORE, 'hooks.log')), 'a hook failed');
  } catch (error) {
    wrong.push(messageOf(error));
  }
  return wrong;
}

type Check = (right: boolean, what: string) => void;

const NAMES = ['tiny', 'tiny-data'];
const names = ({ runs }: Transaction) =>
  runs.flatMap(({ packages }) => packages.map(({ name }) => name)).sort();

/** The database as the cut left it. @returns the one open transaction @throws Error without one */
async function checkStore(root: string, conf: string, check: Check): Promise<Transaction> {
  const db = new Database(join(root, STORE, 'state.db'));
  check(db.pragma('integrity_check', { simple: true }) === 'ok', 'integrity_check');
  db.close();
  const store = await openStore(new Root(root));
  try {
    const [open, ...others] = openTransactions(store);
    if (open === undefined || others.length > 0) {
      throw new Error(`${open === undefined ? 'no' : 'more than one'} open transaction`);
    }
    const before = findSnapshot(store, open.snapshotBefore ?? 0);
    check(before?.kind === 'before' && before.transaction === open.id, 'the snapshot is not there');
    const entries = new Entries(store);
    const known = new Map([...entries.at(open.snapshotBefore ?? 0, '/')].map((entry) => [entry.path, entry]));
    check(known.size === before?.entries, 'the snapshot lacks entries');
    const contents = new Contents(store);
    const edited = known.get('/etc/tiny.conf')?.content;
    check(
      typeof edited === 'number' && contents.read(edited).toString() === conf,
      'the conffile is not as it was before',
    );
    for (const { content, path } of known.values())
      if (content !== null) check(contents.isWhole(content), `the copy of ${path} is damaged`);
    const replaced = store.db
      .prepare('SELECT file, size, path.path FROM kept JOIN path ON path.id = kept.path WHERE trans = ?')
      .all(open.id) as { file: string; size: number; path: string }[];
    check(replaced.length === open.replaced?.kept && replaced.length >= 3, 'kept old versions are unknown');
    for (const { file, size, path } of replaced) {
      const kept = join(root, STORE, 'transactions', open.id, 'replaced', file);
      check(existsSync(kept) && statSync(kept).size === size, `the old ${path} is not kept`);
    }
    return open;
  } finally {
    store.close();
  }
}

function checkTransaction(open: Transaction, version: string, directory: string, check: Check): void {
  const intent = transactionSchema.parse(JSON.parse(readFileSync(join(directory, 'intent.json'), 'utf8')));
  check(isDeepStrictEqual(intent, open), 'intent.json and the database differ');
  check(isDeepStrictEqual(names(open), NAMES), `the packages are ${names(open)}`);
  for (const { name, newVersion, archive } of open.runs.flatMap(({ packages }) => packages)) {
    check(newVersion === version, `${name} ${newVersion} instead of ${version}`);
    if (archive?.kept === undefined) check(false, `the .deb of ${name} is not kept`);
    else {
      const deb = readFileSync(join(directory, 'archives', archive.kept));
      const hash = createHash('sha256').update(deb).digest('hex');
      check(
        deb.length === archive.size && hash === archive.sha256,
        `the .deb of ${name} is not what it was: ${deb.length} bytes`,
      );
    }
  }
}

async function inventory(directory: string, ...command: string[]): Promise<Inventory> {
  return inventorySchema.parse(
    JSON.parse(await mustInRoot(directory, ['debmend', ...command, '--json'], { timeout: 60_000 })),
  );
}

export interface Lost {
  readonly path: string;
  readonly what: 'missing' | 'empty' | 'NULs' | 'ends in NULs' | 'differs';
  readonly size: number;
  /** When it was last written, in seconds after the end of the installation (negative: before), and after the seal. */
  readonly afterEnd: number;
  readonly afterSeal: number | undefined;
}

export interface MariadbCut {
  /** Files outside any manifest that the installation wrote. */
  readonly written: number;
  readonly lost: readonly Lost[];
  /** The same for files of manifests: dpkg syncs those itself. */
  readonly lostOfManifests: readonly Lost[];
  readonly seal: Transaction['seal'];
  /** Files outside any manifest that were written after the seal, which cannot vouch for them. */
  readonly writtenAfterSeal: readonly string[];
  readonly seconds: number;
}

/** From the end of the installation to the cut. */
const DELAY_MS = 7000;
/** What a boot empties, or the kernel makes; and debmend's own. */
const LEFT_OUT = ['proc', 'sys', 'dev', 'run', STORE];

/** Installs mariadb-server on ext4 as Debian mounts it, and cuts the power 7 s after the installation finished. */
export async function mariadbCut(hooks: boolean, say: Say = () => {}): Promise<MariadbCut> {
  const disk = throwawayDisk({ type: 'ext4' });
  const { directory } = disk;
  try {
    await disk.fill('bookworm', { include: INCLUDE });
    denyServices(directory);
    if (unsafeIo(directory)) throw new Error('dpkg has force-unsafe-io');
    await installDebmend(directory);
    await mustInRoot(directory, ['apt-get', '-y', '--download-only', 'install', 'mariadb-server']);
    if (hooks) {
      await mustInRoot(directory, ['debmend', 'hooks', 'install']);
      await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
    }
    disk.sync();
    const begun = Date.now();
    await mustInRoot(directory, ['apt-get', '-y', '--no-download', 'install', 'mariadb-server']);
    const ended = Date.now();
    const before = filesOf(directory, begun);
    const owned = manifestPaths(directory);
    say(`${before.size} files written; looked at in ${(Date.now() - ended) / 1000} s`);
    await sleep(Math.max(0, DELAY_MS - (Date.now() - ended)));
    const waited = (Date.now() - ended) / 1000;
    disk.cut();
    disk.restore();
    say(`cut ${waited} s after the end`);

    let seal: Transaction['seal'];
    if (hooks) seal = (await inventory(directory, 'transaction', 'list')).transactions?.at(-1)?.seal;
    const all = [...before].flatMap(([path, { size, mtime, hash }]): Lost[] => {
      const what = whatBecameOf(join(directory, path), size, hash);
      const afterSeal = seal === undefined ? undefined : (mtime - Date.parse(seal.at)) / 1000;
      return what === undefined ? [] : [{ path, what, size, afterEnd: (mtime - ended) / 1000, afterSeal }];
    });
    const sealedAt = seal === undefined ? Number.POSITIVE_INFINITY : Date.parse(seal.at);
    const others = [...before].filter(([path]) => !owned.has(path));
    return {
      written: others.length,
      lost: all.filter(({ path }) => !owned.has(path)),
      lostOfManifests: all.filter(({ path }) => owned.has(path)),
      seal,
      writtenAfterSeal: others.flatMap(([path, { mtime }]) => (mtime > sealedAt ? [path] : [])),
      seconds: (ended - begun) / 1000,
    };
  } finally {
    disk.remove();
  }
}

function unsafeIo(directory: string): boolean {
  const parts = join(directory, 'etc/dpkg/dpkg.cfg.d');
  const files = [
    join(directory, 'etc/dpkg/dpkg.cfg'),
    ...readdirSync(parts).map((name) => join(parts, name)),
  ];
  return files.some((file) => existsSync(file) && /^\s*force-unsafe-io/m.test(readFileSync(file, 'utf8')));
}

interface Written {
  readonly size: number;
  readonly mtime: number;
  readonly hash: string;
}

/** Every regular file with content that was written or made since a time, by absolute path inside the root. */
function filesOf(directory: string, since: number): Map<string, Written> {
  const found = new Map<string, Written>();
  const walk = (inside: string) => {
    for (const entry of readdirSync(join(directory, inside), { withFileTypes: true })) {
      const path = join(inside, entry.name);
      if (LEFT_OUT.includes(path)) continue;
      if (entry.isDirectory()) walk(path);
      if (!entry.isFile()) continue;
      const host = join(directory, path);
      const { size, mtimeMs, ctimeMs } = statSync(host);
      if (size === 0 || ctimeMs < since) continue;
      const data = readFileSync(host);
      if (data.some((byte) => byte !== 0))
        found.set(`/${path}`, { size, mtime: mtimeMs, hash: hashOf(data) });
    }
  };
  walk('');
  return found;
}

const hashOf = (data: Buffer): string => createHash('sha1').update(data).digest('hex');

function whatBecameOf(host: string, size: number, hash: string): Lost['what'] | undefined {
  if (!existsSync(host)) return 'missing';
  const data = readFileSync(host);
  if (data.length === 0) return 'empty';
  if (data.length === size && hashOf(data) === hash) return undefined;
  if (data.every((byte) => byte === 0)) return 'NULs';
  return data.at(-1) === 0 && data.length === size ? 'ends in NULs' : 'differs';
}

/** What dpkg's file lists and conffiles name, merged /usr both ways. */
function manifestPaths(directory: string): Set<string> {
  const info = join(directory, 'var/lib/dpkg/info');
  const lists = readdirSync(info).filter((name) => name.endsWith('.list'));
  const paths = lists.flatMap((name) => readFileSync(join(info, name), 'latin1').trimEnd().split('\n'));
  return new Set(paths.flatMap((path) => [path, `/usr${path}`]));
}
