/** What a recovery says and does when the disk lost what debmend or dpkg knew of an installation, in whole or in part. */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, expect } from 'vitest';
import { reportSchema } from '../../src/model/report.ts';
import { must } from '../audit/lab.ts';
import { inRoot, mustInRoot } from '../lab/chroot.ts';
import { rootDescribe, rootTest } from '../lab/roots.ts';
import { readImage } from './lab/image.ts';
import { compareImages, differencesAfter } from './lab/judge.ts';
import { fatesOf } from './lab/nothing-lost.ts';
import { debmendRecovery, interrupt, type Point, StatesLab, workloadNamed } from './lab/states.ts';

const STORE = 'var/lib/debmend';
const AMID_STATE = { class: 'script', at: 'postinst-amid-state' };

rootDescribe('of what was lost', () => {
  let lab: StatesLab;
  beforeAll(async () => {
    lab = await StatesLab.open();
  });
  afterAll(() => lab?.close());

  const upgrade = workloadNamed('upgrade');
  const install = workloadNamed('install');
  const purge = workloadNamed('purge');
  const remove = workloadNamed('remove');

  /** Runs a test in a root of its own; it is cut there when it asks for that. */
  const inOverlay = async <T>(
    workload: typeof upgrade,
    body: (directory: string, cut: (point: Pick<Point, 'class' | 'at'>) => Promise<void>) => Promise<T>,
  ): Promise<T> => {
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    try {
      return await body(directory, async (point) => {
        expect(await interrupt(directory, workload, point, 0)).toBe(true);
      });
    } finally {
      overlay.remove();
    }
  };

  /** After a reboot, with the report that it gave. */
  const recovered = async (directory: string, workload: typeof upgrade) => {
    const { code, stdout, stderr } = await debmendRecovery(directory, { workload, boot: randomUUID() });
    const said = stdout + stderr;
    expect(stdout, said).toMatch(/^\{/);
    const report = reportSchema.parse(JSON.parse(stdout));
    if (report.recovery === undefined) throw new Error(said);
    return { code, said, report, recovery: report.recovery };
  };

  /** The store's database is gone, and of the one installation the record holds NUL bytes. @returns its directory */
  const loseRecord = (directory: string): string => {
    const store = join(directory, STORE);
    for (const name of readdirSync(store)) if (name.startsWith('state.db')) rmSync(join(store, name));
    const [id = ''] = readdirSync(join(store, 'transactions'));
    const record = join(store, 'transactions', id);
    writeFileSync(join(record, 'intent.json'), Buffer.alloc(4096));
    return record;
  };

  rootTest('I8: the store: the installation is ended from its kept archives', () =>
    inOverlay(upgrade, async (directory, cut) => {
      await cut({ class: 'script', at: 'postinst-amid-settings' });
      const file = join(directory, STORE, 'state.db');
      writeFileSync(file, Buffer.alloc(readFileSync(file).length));
      rmSync(`${file}-wal`, { force: true });
      const { code, report, recovery, said } = await recovered(directory, upgrade);
      // Of the half-made settings nobody knows any more that they are: that is said by name, and nothing is mended.
      expect(code, said).toBe(1);
      expect(recovery).toMatchObject({ outcome: 'incomplete', transaction: { end: 'finished' } });
      expect(recovery.unmended.map(({ path }) => path)).toContain('/etc/lab-settings-2');
      expect(report.findings.map(({ code: found }) => found)).toContain('store-set-aside');
      const format = `\${Version} \${db:Status-Abbrev}\n`;
      const states = await inRoot(directory, ['dpkg-query', '-W', '-f', format, 'lab-*']);
      expect(states.stdout.trimEnd().split(/\s*\n/)).toEqual(['2.0 ii', '2.0 ii', '2.0 ii']);
    }),
  );

  rootTest('I8: the snapshot from right before: an older one stands in', () =>
    inOverlay(upgrade, async (directory, cut) => {
      const base = lab.base(upgrade);
      const { expected } = await lab.uninterrupted(upgrade);
      const database = join(directory, STORE, 'state.db');
      const old = readFileSync(database);
      await cut(AMID_STATE);
      for (const rest of ['-wal', '-shm']) rmSync(`${database}${rest}`, { force: true });
      writeFileSync(database, old);
      const before = await readImage(directory, base);
      const { code, recovery, said } = await recovered(directory, upgrade);
      // The end is right, and yet nobody can know that this older snapshot knew all.
      expect(code, said).toBe(1);
      expect(recovery).toMatchObject({
        outcome: 'incomplete',
        problems: [],
        transaction: { end: 'finished' },
      });
      const after = await readImage(directory, base);
      expect(differencesAfter(after, { base, before, expected })).toEqual([]);
      expect(fatesOf(before, after, { base, expected }).lost).toEqual([]);
    }),
  );

  rootTest('I8: the snapshot from right before: one of another system does not stand in', () =>
    inOverlay(upgrade, async (directory, cut) => {
      const database = join(directory, STORE, 'state.db');
      const old = readFileSync(database);
      // Since that snapshot somebody brought another package to another version.
      const status = join(directory, 'var/lib/dpkg/status');
      const text = readFileSync(status, 'utf8');
      const since = text.replace(/(Package: sed\n(?:.+\n)*?Version: )(.+)/, '$1$2+since');
      expect(since).not.toBe(text);
      writeFileSync(status, since);
      await cut(AMID_STATE);
      for (const rest of ['-wal', '-shm']) rmSync(`${database}${rest}`, { force: true });
      writeFileSync(database, old);
      const { code, report, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery).toMatchObject({ transaction: { end: 'finished' } });
      // Nothing goes back to a time that was another one; what may be half-made stays, and is named.
      expect(report.actions?.map(({ path }) => path)).not.toContain('/var/lib/lab-2');
      expect(recovery.unmended.map(({ path }) => path)).toContain('/var/lib/lab-2');
    }),
  );

  rootTest('I11: the record: the installation is never called mended, and that is said once', () =>
    inOverlay(upgrade, async (directory, cut) => {
      await cut(AMID_STATE);
      const record = loseRecord(directory);
      const garbled = ['o\x95\x81', 'usr/share/two\nlines', 'usr/share/ünïcode'];
      for (const name of garbled) writeFileSync(Buffer.from(join(directory, name), 'latin1'), '');
      writeFileSync(join(directory, 'usr/share/ünï'), '');
      const first = await recovered(directory, upgrade);
      expect(first.code, first.said).toBe(1);
      const id = record.slice(record.lastIndexOf('/') + 1);
      expect(first.recovery).toMatchObject({
        outcome: 'incomplete',
        transaction: { id, end: 'finished' },
      });
      expect(first.recovery.unmended.map(({ package: name }) => name)).toEqual(
        expect.arrayContaining(['lab-lib', 'lab-core', 'lab-extra']),
      );
      // Half-made state that no second configuration makes anew is named, and with it what else nobody can judge.
      expect(first.recovery.unmended.map(({ path }) => path)).toEqual(
        expect.arrayContaining(['/var/lib/lab-2', '/usr/lib/lab/liblab.so']),
      );
      const strange = first.recovery.unmended.filter(({ reason }) => reason.includes('such a name'));
      expect(strange).toHaveLength(3);
      expect(strange.map(({ path }) => path)).not.toContain('/usr/share/ünï');
      for (const name of garbled) rmSync(Buffer.from(join(directory, name), 'latin1'));
      rmSync(join(directory, 'usr/share/ünï'));
      // Its packages came to their end from the kept archives alone, and what could not be read is still there.
      const shown = await inRoot(directory, ['dpkg-query', '-W', 'lab-core', 'lab-extra', 'lab-lib']);
      expect(shown.stdout).toMatch(/^lab-core\t2\.0\nlab-extra\t2\.0\nlab-lib:\w+\t2\.0\n$/);
      expect((await inRoot(directory, ['dpkg', '--audit'])).stdout).toBe('');
      expect(readFileSync(join(record, 'intent.json.damaged')).equals(Buffer.alloc(4096))).toBe(true);
      const again = await recovered(directory, upgrade);
      expect(again.code, again.said).toBe(0);
    }),
  );

  rootTest('I11: the record and its archives: what the installation had to do with is named', () =>
    inOverlay(upgrade, async (directory, cut) => {
      await cut(AMID_STATE);
      rmSync(join(loseRecord(directory), 'archives'), { recursive: true });
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery.problems).toEqual([]);
      // Its packages, unpacked once more, are whole; whether they all came is not known, which is about none of them.
      const general = recovery.unmended.filter((one) => one.package === undefined && one.path === undefined);
      expect(general).toMatchObject([{ finding: 'transaction-interrupted' }]);
      expect((await inRoot(directory, ['dpkg', '--audit'])).stdout).toBe('');
      const paths = recovery.unmended.map(({ path }) => path);
      expect(paths).toEqual(expect.arrayContaining(['/var/lib/lab-2', '/etc/lab-settings-2']));
      // What it did not touch is vouched for by its manifests, or older.
      expect(paths.filter((path) => path?.startsWith('/usr/bin/'))).toEqual([]);
      expect(paths).not.toContain('/etc/hosts');
    }),
  );

  rootTest('I11: a package, or its removal: the package is named with its files', () =>
    inOverlay(upgrade, async (directory) => {
      // As after a purge of which only the records came through: nobody was told of it.
      const admindir = join(directory, 'var/lib/dpkg');
      const status = readFileSync(join(admindir, 'status'), 'utf8').split('\n\n');
      const without = status.filter((stanza) => !stanza.startsWith('Package: lab-extra\n'));
      expect(without).toHaveLength(status.length - 1);
      writeFileSync(join(admindir, 'status'), without.join('\n\n'));
      for (const name of readdirSync(join(admindir, 'info')))
        if (name.startsWith('lab-extra.')) rmSync(join(admindir, 'info', name));
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      const forgotten = recovery.unmended.filter(({ finding }) => finding === 'package-forgotten');
      expect(new Set(forgotten.map(({ package: name }) => name))).toEqual(new Set(['lab-extra']));
      expect(forgotten.map(({ path }) => path)).toEqual(
        expect.arrayContaining(['/usr/bin/lab-extra-pager', '/usr/lib/lab-extra/tool']),
      );
    }),
  );

  rootTest('I11: names, after a repair: what stands under them by now is told', () =>
    inOverlay(upgrade, async (directory, cut) => {
      const at = (path: string) => join(directory, path);
      await cut(AMID_STATE);
      mkdirSync(at('lost+found'), { mode: 0o700 });
      writeFileSync(at('lost+found/#15'), 'nobody knows it');
      writeFileSync(at('usr/share/lab-extra/stranger'), 'of another directory\n');
      mkdirSync(at('usr/share/lab/gone/deep'), { recursive: true });
      writeFileSync(at('usr/share/lab/gone/stranger'), 'of another directory\n');
      // Of another inode, with its times: a script that looks for a directory there of the version before leaves it.
      rmSync(at('var/lib/lab-1'), { recursive: true });
      symlinkSync('nowhere', at('var/lib/lab-1'));
      rmSync(at('var/lib/dpkg/info/sed.md5sums'));
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery).toMatchObject({ outcome: 'incomplete', transaction: { end: 'finished' } });
      const paths = recovery.unmended.map(({ path }) => path);
      expect(paths).toEqual(
        expect.arrayContaining([
          '/usr/share/lab-extra/stranger',
          '/usr/share/lab/gone',
          '/var/lib/dpkg/info',
          '/var/lib/lab-1',
        ]),
      );
      expect(paths).not.toContain('/usr/share/lab/greeting.lab-core');
    }),
  );

  rootTest('I11: a directory that a removal leaves, when a repair took it: it and its list are named', () =>
    inOverlay(remove, async (directory, cut) => {
      const at = (path: string) => join(directory, path);
      await cut(await atItsEnd(remove));
      const { stdout } = await inRoot(directory, ['dpkg', '-L', 'lab-core']);
      expect(stdout.split('\n')).toContain('/usr/share/lab');
      mkdirSync(at('lost+found'), { mode: 0o700 });
      // Of another inode than the snapshot knows, as a disk leaves it that gives an old one back.
      cpSync(at('usr/share/lab'), at('lost+found/#4711'), { recursive: true });
      rmSync(at('usr/share/lab'), { recursive: true });
      // Its list names it last: nothing below it was the package's.
      rmSync(at('var/lib/lab-extra'), { recursive: true });
      const { code, recovery, said } = await recovered(directory, remove);
      expect(code, said).toBe(1);
      expect(recovery.transaction).toMatchObject({ end: 'finished' });
      const paths = recovery.unmended.map(({ path }) => path);
      const named = ['/usr/share/lab', '/var/lib/dpkg/info/lab-core.list', '/var/lib/lab-extra'];
      expect(paths).toEqual(expect.arrayContaining(named));
      // What is below it is said with it, and what others have too is not gone.
      expect(paths.filter((path) => path?.startsWith('/usr/share/lab/'))).toEqual([]);
    }),
  );

  rootTest('I11: control files of packages that nobody touched: they are named', () =>
    inOverlay(upgrade, async (directory, cut) => {
      await cut(AMID_STATE);
      const gone = ['sed.md5sums', 'dash.postrm', 'dpkg.postrm'];
      const info = join(directory, 'var/lib/dpkg/info');
      for (const name of gone) rmSync(join(info, name));
      writeFileSync(join(info, 'debconf.conffiles'), '/etc/of-another\n');
      // As it is after a removal of which everything else was lost.
      const list = readFileSync(join(info, 'gzip.list'), 'utf8');
      writeFileSync(join(info, 'gzip.list'), list.replace(/^\/bin\/z.*\n/gm, ''));
      rmSync(join(directory, 'bin/zcat'));
      // As a package leaves it that replaces a file of another.
      const [owned = ''] = /^\/bin\/.+/m.exec(readFileSync(join(info, 'sed.list'), 'utf8')) ?? [];
      for (const [name, change] of [
        ['sed', (text: string) => text.replace(`${owned}\n`, '')],
        ['dash', (text: string) => `${text}${owned}\n`],
      ] as const)
        writeFileSync(join(info, `${name}.list`), change(readFileSync(join(info, `${name}.list`), 'utf8')));
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery).toMatchObject({ outcome: 'incomplete', transaction: { end: 'finished' } });
      const paths = recovery.unmended.flatMap(({ path }) => path ?? []);
      const inInfo = paths.filter((path) => path.startsWith('/var/lib/dpkg/info/'));
      const altered = [...gone, 'dash.list', 'debconf.conffiles', 'gzip.list'];
      expect(inInfo).toEqual(altered.map((name) => `/var/lib/dpkg/info/${name}`).sort());
      const others = paths.filter((path) => !inInfo.includes(path));
      expect(others).toEqual(expect.arrayContaining(['/bin/zcat', '/bin/zgrep']));
      // The scripts of dash name it.
      expect(others.filter((path) => !path.startsWith('/bin/z'))).toEqual(['/var/lib/shells.state']);
      const names = recovery.unmended.flatMap(({ package: name }) => name ?? []);
      expect(names.sort()).toEqual(['dash', 'dpkg', 'sed']);
    }),
  );

  /** At its last call there is nothing left to do, and nothing is sealed. */
  const atItsEnd = async (workload: typeof upgrade) =>
    (await lab.points(workload)).filter((point) => point.class === 'fsync').at(-1) ?? AMID_STATE;

  rootTest('I11: the snapshot, and a removal had come to its end: its packages are named', () =>
    inOverlay(remove, async (directory, cut) => {
      const database = join(directory, STORE, 'state.db');
      const old = readFileSync(database);
      // Older than the installation by its inode's times, as what another inode leaves in a file's place.
      writeFileSync(join(directory, 'etc/stranger'), 'of another directory\n');
      await sleep(1500);
      await cut(await atItsEnd(remove));
      for (const rest of ['-wal', '-shm']) rmSync(`${database}${rest}`, { force: true });
      writeFileSync(database, old);
      rmSync(join(directory, 'var/lib/lab-extra'), { recursive: true });
      writeFileSync(join(directory, 'usr/bin/lab'), 'of the package that was removed\n');
      const { code, recovery, said } = await recovered(directory, remove);
      expect(code, said).toBe(1);
      expect(recovery.unmended.map(({ package: name }) => name)).toEqual(
        expect.arrayContaining(['lab-core', 'lab-extra', 'lab-lib']),
      );
      const paths = recovery.unmended.map(({ path }) => path);
      // Whether an account, or state, was to go the scripts knew, and they are gone.
      const named = [
        '/etc/stranger',
        '/etc/passwd',
        '/usr/bin/lab',
        '/var/lib/lab-extra',
        '/var/lib/lab-extra/index',
      ];
      expect(paths).toEqual(expect.arrayContaining(named));
      expect(recovery.unmended.map(({ package: name }) => name)).not.toContain('dpkg');
    }),
  );

  rootTest('I11: the seal, after an installation had come to its end: what it made is named, once', () =>
    inOverlay(upgrade, async (directory) => {
      const database = join(directory, STORE, 'state.db');
      const old = readFileSync(database);
      await mustInRoot(directory, upgrade.command, { offline: true });
      for (const rest of ['-wal', '-shm']) rmSync(`${database}${rest}`, { force: true });
      writeFileSync(database, old);
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery).toMatchObject({ transaction: { end: 'finished' } });
      expect(recovery.unmended.map(({ package: name, path }) => path ?? name)).toEqual(
        expect.arrayContaining(['lab-core', '/etc/lab-settings-2', '/var/lib/lab-2']),
      );
      const again = await recovered(directory, upgrade);
      expect(again.code, again.said).toBe(0);
    }),
  );

  /** Nobody can set a ctime: the last snapshot is from after what is on disk now. */
  const sealedNow = (directory: string): void => {
    const db = new Sqlite(join(directory, STORE, 'state.db'));
    db.prepare('UPDATE snapshot SET taken_at = ?').run(new Date(Date.now() + 1000).toISOString());
    db.close();
  };

  rootTest('I11: content that was written since the last seal is no sign of such a disk', () =>
    inOverlay(upgrade, async (directory) => {
      await mustInRoot(directory, upgrade.command, { offline: true });
      writeFileSync(join(directory, 'var/lib/lab-2/one'), 'of a file of another time\n');
      writeFileSync(join(directory, 'usr/share/lab/data'), '');
      const { code, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(0);
    }),
  );

  rootTest('I11: content that was synced: what was written together with it is named', () =>
    inOverlay(upgrade, async (directory) => {
      const at = (path: string) => join(directory, path);
      await mustInRoot(directory, upgrade.command, { offline: true });
      writeFileSync(at('var/lib/lab-2/one'), 'of a file of another time\n');
      rmSync(at('etc/lab/new.conf'));
      // One of them has two names.
      for (const [path, count] of [
        ['usr/bin/lab', 2],
        ['usr/share/lab/data', 1],
      ] as const) {
        writeFileSync(at(path), Buffer.alloc(statSync(at(path)).size));
        sealedNow(directory);
        const { code, recovery, said } = await recovered(directory, upgrade);
        expect(code, said).toBe(1);
        expect(recovery.mended).toBe(count);
        const paths = recovery.unmended.map((one) => one.path);
        expect(paths).toEqual(expect.arrayContaining(['/etc/lab/new.conf', '/var/lib/lab-2']));
        // The snapshot after it, or the manifest, knows these.
        for (const known of ['/etc/lab-settings-2', '/var/lib/dpkg/alternatives', `/${path}`])
          expect(paths).not.toContain(known);
      }
    }),
  );

  rootTest('I11: the record, and what dpkg knew of a conffile: what it puts beside it is named', () =>
    inOverlay(upgrade, async (directory, cut) => {
      const at = (path: string) => join(directory, path);
      await cut(await atItsEnd(upgrade));
      loseRecord(directory);
      // Neither what the record has nor what the package ships, so dpkg keeps it and lays the new one beside it.
      writeFileSync(at('etc/lab/constant.conf'), 'of another time\n');
      const status = readFileSync(at('var/lib/dpkg/status'), 'utf8');
      const other = status.replace(/( \/etc\/lab\/constant\.conf) [0-9a-f]{32}/, `$1 ${'0'.repeat(32)}`);
      expect(other).not.toBe(status);
      writeFileSync(at('var/lib/dpkg/status'), other);
      const { recovery } = await recovered(directory, upgrade);
      expect(existsSync(at('etc/lab/constant.conf.dpkg-dist'))).toBe(true);
      // On other filesystems than overlayfs it is born in the recovery, and only dpkg tells why.
      const said = recovery.unmended.find(({ path }) => path === '/etc/lab/constant.conf.dpkg-dist');
      expect(said?.reason).toContain('dpkg put it there when its package was unpacked once more');
    }),
  );

  rootTest('I11: some of what every system has: what else is gone of it is named', () =>
    inOverlay(upgrade, async (directory) => {
      // A conffile, and what base-files made: people take these away.
      rmSync(join(directory, 'etc/xattr.conf'));
      rmdirSync(join(directory, 'var/opt'));
      const first = await recovered(directory, upgrade);
      expect(first.code, first.said).toBe(0);
      expect(first.recovery.unmended).toEqual([]);
      rmSync(join(directory, 'var/spool'), { recursive: true });
      const { recovery, said } = await recovered(directory, upgrade);
      expect(recovery.outcome, said).toBe('incomplete');
      expect(recovery.unmended.map(({ path }) => path)).toEqual(
        expect.arrayContaining(['/etc/xattr.conf', '/var/opt']),
      );
    }),
  );

  rootTest('I11: state of scripts, and nothing else: it is named', () =>
    inOverlay(upgrade, async (directory) => {
      await mustInRoot(directory, upgrade.command, { offline: true });
      const index = '/var/lib/lab-extra/index';
      const db = new Sqlite(join(directory, STORE, 'state.db'));
      // As if the disk had put these bytes there, and left the time of change.
      const { changes } = db.prepare('UPDATE state SET xxh64 = randomblob(8) WHERE path = ?').run(index);
      db.close();
      expect(changes).toBe(1);
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery.unmended.find(({ path }) => path === index)?.reason).toContain('nobody touched it');
    }),
  );

  for (const [what, { by = 0, ino = 0, synced = true }, expected] of [
    ['I11: a time that went back of what was synced: what its installation made is named', {}, 1],
    ['I11: a time that went back of what dpkg wrote after all else: that proves nothing', { by: 1 }, 0],
    ['I11: a time that went back of another inode, as of a mount point: that proves nothing', { ino: 1 }, 0],
    [
      'I10: a time that went back where a filesystem could not be synced: that proves nothing',
      { synced: false },
      0,
    ],
  ] as const)
    rootTest(what, () =>
      inOverlay(upgrade, async (directory) => {
        await mustInRoot(directory, upgrade.command, { offline: true });
        const db = new Sqlite(join(directory, STORE, 'state.db'));
        const entry = (path: string) => `entry WHERE path = (SELECT id FROM path WHERE path = '${path}')`;
        const written = db
          .prepare(`SELECT ctime FROM ${entry('/var/lib/dpkg/status')}`)
          .pluck()
          .get();
        const { changes } = db
          .prepare(
            `UPDATE ${entry('/usr/share/lab/data').replace('WHERE', 'SET ctime = ?, ino = ino + ? WHERE')}`,
          )
          .run(Number(written) + by, ino);
        if (!synced) {
          const result = '$.seal.sync.filesystems[#-1].result';
          db.prepare(`UPDATE trans SET document = json_replace(document, '${result}', 'failed')`).run();
          const document = String(db.prepare('SELECT document FROM trans').pluck().get());
          expect(document).toContain('"result":"failed"');
        }
        db.close();
        expect(changes).toBe(1);
        rmSync(join(directory, 'var/lib/lab-2'), { recursive: true });
        const { code, recovery, said } = await recovered(directory, upgrade);
        expect(code, said).toBe(expected);
        const paths = recovery.unmended.map(({ path }) => path);
        if (expected === 0) expect(paths).toEqual([]);
        else expect(paths).toContain('/var/lib/lab-2');
      }),
    );

  /** As after a boot whose clock began with a time of before the seal. */
  const withClockBehind = (body: (directory: string, boot: () => void) => Promise<void>): Promise<void> =>
    inOverlay(upgrade, async (directory) => {
      await mustInRoot(directory, upgrade.command, { offline: true });
      const run = join(directory, 'run');
      try {
        await body(directory, () => {
          // Nobody can set a time of change: it is the seal that goes to a later one.
          const db = new Sqlite(join(directory, STORE, 'state.db'));
          const later = Date.now() + 20_000;
          for (const change of [
            `UPDATE snapshot SET taken_at = '${new Date(later).toISOString()}'`,
            `UPDATE entry SET ctime = ${later} WHERE path IN (SELECT id FROM path WHERE path IN (${AGED}))`,
            `UPDATE state SET ctime = ${later}`,
          ])
            expect(db.prepare(change).run().changes).toBeGreaterThan(0);
          db.close();
          must('mount', '-t', 'tmpfs', 'tmpfs', run);
          writeFileSync(join(run, 'early'), '');
        });
      } finally {
        must('umount', run);
      }
    });
  const AGED = "'/var/lib/dpkg/status', '/usr/share/lab/data'";

  rootTest('I3: a clock that began behind the seal: what changed since then proves nothing, for good', () =>
    withClockBehind(async (directory, boot) => {
      boot();
      await sleep(50); // times of files are coarser than clocks
      for (const path of ['usr/share/lab/data', 'var/lib/dpkg/status'])
        chmodSync(join(directory, path), 0o644);
      const first = await recovered(directory, upgrade);
      expect(first.code, first.said).toBe(0);
      expect(first.recovery.unmended).toEqual([]);
      // The next boot's clock was set before anything else was done.
      rmSync(join(directory, 'run/early'));
      const second = await recovered(directory, upgrade);
      expect(second.recovery.unmended).toEqual([]);
    }),
  );

  rootTest('I11: a clock that began behind the seal: what was not changed since then went back', () =>
    withClockBehind(async (directory, boot) => {
      boot();
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery.unmended.map(({ path }) => path)).toContain('/var/lib/lab-2');
    }),
  );

  /** Cut at its end or earlier, damaged, and recovered, a workload ends as an uninterrupted one. */
  const endsAsUninterrupted = (
    workload: typeof upgrade,
    damage: (directory: string) => Promise<void> | void,
    begun?: (directory: string) => void,
    at?: Pick<Point, 'class' | 'at'>,
  ) =>
    inOverlay(workload, async (directory, cut) => {
      const base = lab.base(workload);
      const { expected } = await lab.uninterrupted(workload);
      begun?.(directory);
      await cut(at ?? (await atItsEnd(workload)));
      await damage(directory);
      const before = await readImage(directory, base);
      const { code, said } = await recovered(directory, workload);
      expect(code, said).toBe(0);
      const after = await readImage(directory, base);
      expect(differencesAfter(after, { base, before, expected })).toEqual([]);
    });

  /** The same, where the disk has kept a file as it was before. */
  const endsThoughKept = (workload: typeof upgrade, path: string) => {
    let old = Buffer.alloc(0);
    return endsAsUninterrupted(
      workload,
      (directory) => {
        const file = join(directory, path);
        expect(existsSync(file) && readFileSync(file).equals(old)).toBe(false);
        writeFileSync(file, old);
      },
      (directory) => {
        old = readFileSync(join(directory, path));
      },
    );
  };

  rootTest(
    'what its records say of a removal that had come to its end: it takes nothing that it had left',
    () => {
      let old = Buffer.alloc(0);
      return endsAsUninterrupted(
        remove,
        (directory) => {
          const at = (path: string) => join(directory, path);
          const [id = ''] = readdirSync(at(`${STORE}/transactions`));
          rmSync(at(`${STORE}/transactions/${id}/status.log`));
          writeFileSync(at('var/log/dpkg.log'), Buffer.alloc(statSync(at('var/log/dpkg.log')).size));
          for (const file of ['status', 'status-old']) writeFileSync(at(`var/lib/dpkg/${file}`), old);
        },
        (directory) => {
          old = readFileSync(join(directory, 'var/lib/dpkg/status'));
        },
      );
    },
  );

  rootTest('the record of what a removal leaves: it is done once more', () =>
    endsAsUninterrupted(remove, async (directory) => {
      const admindir = join(directory, 'var/lib/dpkg');
      const status = join(admindir, 'status');
      await inRoot(directory, ['dpkg', '--clear-avail']); // merges what dpkg had noted into the status file
      rmSync(join(admindir, 'available'));
      const stanzas = readFileSync(status, 'utf8').split('\n\n');
      const others = stanzas.filter((stanza) => !stanza.startsWith('Package: lab-core\n'));
      expect(others).toHaveLength(stanzas.length - 1);
      writeFileSync(status, others.join('\n\n'));
      for (const kind of ['list', 'postrm']) rmSync(join(admindir, `info/lab-core.${kind}`));
    }),
  );

  const LIST = 'var/lib/dpkg/info/lab-extra.list';
  rootTest('what a removal left of a list, and the disk has the one of before: it is made again', () =>
    endsThoughKept(remove, LIST),
  );

  rootTest('what a removal left of a list, and the disk has none: it is made again', () =>
    endsAsUninterrupted(remove, (directory) => rmSync(join(directory, LIST))),
  );

  rootTest('what a purge took of control files: they leave', () =>
    endsThoughKept(purge, 'var/lib/dpkg/info/lab-core.md5sums'),
  );

  rootTest('what a removal did to the diversions: it is done once more', () =>
    endsThoughKept(purge, 'var/lib/dpkg/diversions'),
  );

  rootTest('the diversions, altogether: they are as before, but for what the removal did', () =>
    endsAsUninterrupted(remove, (directory) => {
      for (const name of ['diversions', 'diversions-old']) rmSync(join(directory, 'var/lib/dpkg', name));
    }),
  );

  rootTest('I11: a part of a removal, and what it left listed: a directory that may be it is named', () =>
    inOverlay(remove, async (directory, cut) => {
      const at = (name: string) => join(directory, 'var/lib/dpkg', name);
      const old = readFileSync(at('info/lab-extra.list'));
      await cut(await atItsEnd(remove));
      writeFileSync(at('info/lab-extra.list'), old);
      for (const name of ['diversions', 'diversions-old']) rmSync(at(name));
      const { code, recovery, said } = await recovered(directory, remove);
      expect(code, said).toBe(1);
      expect(recovery.unmended.map(({ path }) => path)).toEqual([
        '/var/lib/lab-extra',
        '/var/lib/dpkg/info/lab-extra.list',
      ]);
    }),
  );

  /** The same, where the disk has brought files back that a package had, and some of its control files. */
  const endsThoughBack = (
    workload: typeof upgrade,
    kinds: readonly string[],
    at?: Pick<Point, 'class' | 'at'>,
  ) => {
    const kept = new Map<string, { readonly data: Buffer; readonly mtime: Date }>();
    return endsAsUninterrupted(
      workload,
      (directory) => {
        for (const [path, { data, mtime }] of kept) {
          mkdirSync(dirname(join(directory, path)), { recursive: true });
          writeFileSync(join(directory, path), data);
          utimesSync(join(directory, path), mtime, mtime);
        }
      },
      (directory) => {
        const info = '/var/lib/dpkg/info/lab-core';
        const listed = readFileSync(join(directory, `${info}.list`), 'utf8').split('\n');
        const files = listed.filter((one) => one.startsWith('/usr/'));
        for (const path of [...files, ...kinds.map((kind) => `${info}.${kind}`)]) {
          const stat = lstatSync(join(directory, path), { throwIfNoEntry: false });
          if (stat?.isFile() === true)
            kept.set(path, { data: readFileSync(join(directory, path)), mtime: stat.mtime });
        }
        expect(kept.size).toBeGreaterThan(10);
      },
      at,
    );
  };

  const CONTROL = ['conffiles', 'md5sums', 'postinst', 'triggers'];
  rootTest('what a purge took, files and some control files: it is done once more', () =>
    endsThoughBack(purge, CONTROL),
  );

  rootTest('what a purge took, its list too, and the package is removed by its record: once more', () =>
    endsThoughBack(purge, [...CONTROL, 'list'], { class: 'script', at: 'postrm-amid-purge' }),
  );

  rootTest('what a removal took, its list too: it is done once more', () =>
    endsThoughBack(remove, [...CONTROL, 'list']),
  );

  rootTest('the inodes of files: what other things stand in their place leave it', () =>
    inOverlay(upgrade, async (directory, cut) => {
      const base = lab.base(upgrade);
      const { expected } = await lab.uninterrupted(upgrade);
      await cut({ class: 'script', at: 'postinst-begun' });
      const passwd = join(directory, 'etc/passwd');
      rmSync(passwd);
      mkdirSync(join(passwd, 'deep'), { recursive: true });
      // A script that only looks whether a file is there fails at both.
      for (const path of ['etc/lab-settings-2', 'var/lib/lab-2'])
        symlinkSync('nowhere', join(directory, path));
      const { code, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(0);
      expect(compareImages(expected, await readImage(directory, base)).differences).toEqual([]);
    }),
  );

  rootTest('I11: what a script needs: whatever it would have made is named', () =>
    inOverlay(upgrade, async (directory, cut) => {
      // It is older than the installation, and so it stays; mkdir fails at it.
      symlinkSync('nowhere', join(directory, 'var/lib/lab-2'));
      symlinkSync('nowhere', join(directory, 'var/lib/of-another-inode'));
      await sleep(1500); // times of files are coarser than clocks, and so a second is allowed for
      await cut({ class: 'script', at: 'postinst-after-settings' });
      writeFileSync(join(directory, 'etc/stranger'), 'of another directory\n');
      utimesSync(join(directory, 'etc/stranger'), 0, 0);
      mkdirSync(join(directory, 'usr/share/lab/real'), { recursive: true });
      writeFileSync(join(directory, 'usr/share/lab/real/control'), 'of another directory\n');
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery.transaction).toMatchObject({ end: 'open' });
      expect(recovery.unmended.map(({ path }) => path)).toEqual(
        expect.arrayContaining([
          '/var/lib/lab-2',
          '/var/lib/dpkg/alternatives/lab-pager',
          '/var/lib/of-another-inode',
          '/etc/stranger',
          '/usr/share/lab/real/control',
        ]),
      );
    }),
  );

  rootTest('what a repair of the filesystem took: tracked files come back, and what is gone is named', () =>
    inOverlay(upgrade, async (directory) => {
      const base = lab.base(upgrade);
      mkdirSync(join(directory, 'lost+found'), { mode: 0o700 });
      writeFileSync(join(directory, 'lost+found/#4711'), 'of a file that nobody knows\n');
      const passwd = join(directory, 'etc/passwd');
      rmSync(passwd);
      mkdirSync(passwd);
      writeFileSync(join(directory, 'etc/group'), 'this is a text of something else\n');
      rmSync(join(directory, 'etc/lab-settings-1'));
      for (const path of ['dev/stdin', 'dev/full', 'var/spool/mail']) rmSync(join(directory, path));
      rmdirSync(join(directory, 'var/opt'));
      mkdirSync(join(directory, 'var/lib/apt'), { recursive: true });
      writeFileSync(
        join(directory, 'var/lib/apt/extended_states'),
        'Package: of-another\nAuto-Installed: 1\n',
      );
      // Nobody tracks it, and it was written right before the power went.
      writeFileSync(join(directory, 'var/lib/lab-extra/index'), 'this is a text of something else\n');
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      const left = compareImages(base, await readImage(directory, base)).differences;
      const named = [
        '/dev/full',
        '/dev/stdin',
        '/etc/lab-settings-1',
        '/var/lib/apt/extended_states',
        '/var/lib/lab-extra/index',
        '/var/opt',
        '/var/spool/mail',
      ];
      expect([...new Set(left.map((line) => line.slice(0, line.indexOf(':'))))].sort()).toEqual(named);
      const paths = recovery.unmended.map(({ path }) => path);
      expect(paths).toEqual(expect.arrayContaining([...named, '/lost+found']));
      // As the snapshot knows them.
      for (const path of ['/etc/hosts', '/usr/share/zoneinfo', '/usr/lib/x86_64-linux-gnu'])
        expect(paths).not.toContain(path);
    }),
  );

  rootTest('I11: what a repair took with an installation: its packages and what changed are named', () =>
    inOverlay(upgrade, async (directory, cut) => {
      const database = join(directory, STORE, 'state.db');
      const old = readFileSync(database);
      await cut(AMID_STATE);
      for (const rest of ['-wal', '-shm']) rmSync(`${database}${rest}`, { force: true });
      writeFileSync(database, old);
      mkdirSync(join(directory, 'lost+found'), { mode: 0o700 });
      const transactions = join(directory, STORE, 'transactions');
      for (const [at, id] of readdirSync(transactions).entries())
        renameSync(join(transactions, id), join(directory, 'lost+found', `#${at}`));
      const { code, recovery, said } = await recovered(directory, upgrade);
      expect(code, said).toBe(1);
      expect(recovery.unmended.map(({ package: name, path }) => path ?? name)).toEqual(
        expect.arrayContaining(['lab-lib', '/var/lib/lab-2', '/etc/lab-settings-2']),
      );
      const general = recovery.unmended.filter((one) => one.package === undefined && one.path === undefined);
      expect(general.map(({ reason }) => reason)).toEqual([
        expect.stringContaining('give its command again'),
      ]);
    }),
  );

  rootTest('I11: what a repair took with a removal: what it had taken already is named', () =>
    inOverlay(remove, async (directory, cut) => {
      const at = (path: string) => join(directory, path);
      const status = at('var/lib/dpkg/status');
      const kept = [join(directory, STORE, 'state.db'), status];
      const old = kept.map((file) => readFileSync(file));
      await cut({ class: 'script', at: 'postrm-after-diversion' });
      for (const rest of ['-wal', '-shm']) rmSync(`${kept[0]}${rest}`, { force: true });
      for (const [index, file] of kept.entries()) writeFileSync(file, old[index] ?? '');
      for (const name of readdirSync(at('var/lib/dpkg/updates'))) rmSync(at(`var/lib/dpkg/updates/${name}`));
      mkdirSync(at('lost+found'), { mode: 0o700 });
      renameSync(join(directory, STORE, 'transactions'), at('lost+found/#11'));
      for (const kind of ['md5sums', 'postinst', 'prerm', 'triggers'])
        rmSync(at(`var/lib/dpkg/info/lab-extra.${kind}`));
      const { code, recovery, said } = await recovered(directory, remove);
      expect(code, said).toBe(1);
      expect(recovery.unmended.map(({ package: name }) => name)).toContain('lab-extra');
      expect(recovery.unmended.map(({ path }) => path)).toEqual(
        expect.arrayContaining([
          '/usr/bin/lab-pager',
          '/usr/share/lab-pager.txt',
          '/usr/share/lab/greeting',
          '/var/lib/lab-extra/index',
        ]),
      );
    }),
  );

  rootTest('I11: what a repair took with an installation, dpkg’s records too: what changed is named', () =>
    inOverlay(install, async (directory, cut) => {
      const database = join(directory, STORE, 'state.db');
      const old = readFileSync(database);
      const status = join(directory, 'var/lib/dpkg/status');
      const records = readFileSync(status);
      await cut(AMID_STATE);
      for (const rest of ['-wal', '-shm']) rmSync(`${database}${rest}`, { force: true });
      writeFileSync(database, old);
      writeFileSync(status, records);
      mkdirSync(join(directory, 'lost+found'), { mode: 0o700 });
      renameSync(join(directory, STORE, 'transactions'), join(directory, 'lost+found/#11'));
      const gone = ['srv/lab', 'srv/debmend-archive', 'var/log/dpkg.log', 'var/lib/dpkg/updates'];
      for (const name of gone) rmSync(join(directory, name), { recursive: true });
      mkdirSync(join(directory, 'var/lib/dpkg/updates'));
      const { code, recovery, said } = await recovered(directory, install);
      expect(code, said).toBe(1);
      expect(recovery.unmended.map(({ path }) => path)).toEqual(
        expect.arrayContaining(['/var/lib/lab-2', '/etc/lab-settings-2', '/usr/lib/lab/liblab.so']),
      );
    }),
  );

  rootTest('I11: the accounts, after a removal had come to its end: they are named', async () => {
    const end = await atItsEnd(purge);
    const files = ['etc/passwd', 'etc/group', 'etc/shadow', 'etc/gshadow'];
    const old = new Map<string, Buffer>();
    const after = (damage: (directory: string) => void) =>
      inOverlay(purge, async (directory, cut) => {
        for (const name of files) old.set(name, readFileSync(join(directory, name)));
        await cut(end);
        expect((await inRoot(directory, ['dpkg-query', '-W', 'lab-*'])).stdout).toBe('');
        damage(directory);
        const { code, recovery } = await recovered(directory, purge);
        return { code, paths: recovery.unmended.map(({ path }) => path) };
      });
    expect(await after(() => {})).toEqual({ code: 0, paths: [] });
    const torn = await after((directory) => {
      const shadow = join(directory, 'etc/shadow');
      writeFileSync(shadow, readFileSync(shadow).subarray(0, -5));
    });
    expect(torn).toEqual({ code: 1, paths: ['/etc/shadow'] });
    const back = await after((directory) => {
      for (const [name, data] of old) writeFileSync(join(directory, name), data);
    });
    expect(back.code).toBe(1);
    expect(back.paths.sort()).toEqual(files.map((name) => `/${name}`).sort());
  });
});
