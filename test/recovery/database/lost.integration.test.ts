/**
 * What is known of a package since the newest copy of its record, apt's own files, and what is not believed: on real
 * roots, in which dpkg itself made the states.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { aptProblems } from '../../../src/dpkg/apt-state.ts';
import { readDatabase } from '../../../src/dpkg/database.ts';
import { type DatabasePlan, planDatabaseMends } from '../../../src/recovery/database/plan.ts';
import { standardSources } from '../../../src/recovery/database/standard-sources.ts';
import { bufferOf } from '../../../src/system/bytes.ts';
import { Root } from '../../../src/system/root.ts';
import { buildPackage, type TinyPackage } from '../../lab/packages.ts';
import { type DebianRoot, debianRoot, LONG_SUITES, rootDescribe } from '../../lab/roots.ts';

const CONF = '/etc/tiny.conf';
const TINY: TinyPackage = {
  name: 'tiny',
  files: { '/usr/share/tiny/a': 'a\n', [CONF]: '1\n' },
  conffiles: [CONF],
};
const field = (name: string): string => `\${${name}}`;
const SHOW = `${field('Version')} ${field('Status')}\n${field('Conffiles')}`;
const NEXT: TinyPackage = {
  ...TINY,
  version: '2.0',
  files: { '/usr/share/tiny/b': 'b\n', [CONF]: '2\n' },
  control: { postinst: '#!/bin/sh\nexit 0\n' },
};

for (const suite of LONG_SUITES) {
  rootDescribe(`a lost record in ${suite}`, () => {
    let root: DebianRoot;
    const home = (...names: string[]): string => join(root.directory, ...names);
    const chroot = (...command: readonly string[]) =>
      spawnSync('chroot', [root.directory, ...command], {
        encoding: 'latin1',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      });
    const must = (...command: readonly string[]): string => {
      const { status, stdout, stderr } = chroot(...command);
      if (status !== 0) throw new Error(`${command.join(' ')}: ${status}\n${stdout}${stderr}`);
      return stdout;
    };
    const read = (path: string): string => readFileSync(home(path), 'latin1');
    const write = (path: string, data: string): void => {
      mkdirSync(dirname(home(path)), { recursive: true });
      writeFileSync(home(path), bufferOf(data));
    };
    const build = (pkg: TinyPackage): string => buildPackage(pkg, home('srv'));
    const install = (deb: string): string => must('dpkg', '-i', deb.slice(root.directory.length));
    const plan = async (archives: readonly string[] = [home('srv')]): Promise<DatabasePlan> => {
      const inside = new Root(root.directory);
      const sources = standardSources(inside, undefined, { admindir: '/var/lib/dpkg', archives });
      try {
        return await planDatabaseMends(inside, readDatabase(inside), sources);
      } finally {
        sources.close();
      }
    };
    const apply = ({ mends }: DatabasePlan): void => {
      for (const { file, action } of mends) {
        rmSync(home(file), { recursive: true, force: true });
        if (action.kind === 'write') writeFileSync(home(file), bufferOf(action.data), { mode: action.mode });
      }
    };
    const shown = (): string => chroot('dpkg-query', '-W', '-f', SHOW, 'tiny').stdout.trimEnd();
    const fresh = async (): Promise<void> => {
      root = await debianRoot(suite);
      mkdirSync(home('srv'), { recursive: true });
    };
    /** The status file of before is all that is left of the records. */
    const loseStatus = (before: string): void => {
      write('var/backups/dpkg.status.0', before);
      write('var/lib/dpkg/status', '\0'.repeat(4096));
      rmSync(home('var/lib/dpkg/status-old'), { force: true });
    };
    afterEach(() => root?.remove());

    it('upgraded since the copy: the record is made from the archive of the version that dpkg.log names', async () => {
      await fresh();
      install(build(TINY));
      const before = read('var/lib/dpkg/status');
      install(build(NEXT));
      const now = read('var/lib/dpkg/status');
      loseStatus(before);
      apply(await plan());
      expect(read('var/lib/dpkg/status')).toBe(now);
    });

    it('upgraded since the copy, and no archive: it is marked, and said, and nothing is guessed', async () => {
      await fresh();
      install(build(TINY));
      const before = read('var/lib/dpkg/status');
      install(build(NEXT));
      loseStatus(before);
      const planned = await plan([]);
      expect(planned.reinstall).toEqual([
        {
          name: 'tiny',
          architecture: 'all',
          version: '2.0',
          why: expect.stringContaining('there is no archive'),
        },
      ]);
      expect(planned.unmended.map(({ problem }) => problem.package)).toEqual(['tiny:all']);
      apply(planned);
      expect(shown()).toMatch(/^1\.0 install reinstreq half-installed/);
      expect(chroot('dpkg', '--audit').stdout).toContain('tiny');
    });

    it('a NUL tail of dpkg.log and no archive: control files and times decide', async () => {
      await fresh();
      install(build(TINY));
      const before = read('var/lib/dpkg/status');
      install(build(NEXT));
      const now = read('var/lib/dpkg/status');
      const log = read('var/log/dpkg.log').replace(/^.* tiny:all .*\n/gm, '');
      write('var/log/dpkg.log', `${log}${'\0'.repeat(4096)}`);
      loseStatus(now);
      apply(await plan([]));
      expect(read('var/lib/dpkg/status')).toBe(now);
      // The same with a copy of the version before: its archive has other control files.
      loseStatus(before);
      const planned = await plan();
      expect(planned.reinstall.map(({ name }) => name)).toEqual(['tiny']);
      apply(planned);
      expect(shown()).toMatch(/ reinstreq half-installed/);
    });

    it('purged since the copy: it does not come back', async () => {
      await fresh();
      install(build(TINY));
      const before = read('var/lib/dpkg/status');
      must('dpkg', '--purge', 'tiny');
      const now = read('var/lib/dpkg/status');
      loseStatus(before);
      const planned = await plan();
      apply(planned);
      expect(read('var/lib/dpkg/status')).toBe(now);
      expect(planned.unmended).toEqual([]);
    });

    it('removed since the copy: the record is what dpkg leaves of it', async () => {
      await fresh();
      const needy: TinyPackage = {
        ...TINY,
        depends: ['dpkg'],
        fields: { Essential: 'yes', Provides: 'need' },
      };
      install(build(needy));
      const before = read('var/lib/dpkg/status');
      must('dpkg', '--force-remove-essential', '--remove', 'tiny');
      const now = read('var/lib/dpkg/status');
      loseStatus(before);
      apply(await plan());
      expect(read('var/lib/dpkg/status')).toBe(now);
    });

    it('an update that is lost: the record is brought to what dpkg.log says', async () => {
      await fresh();
      install(build(TINY));
      const before = read('var/lib/dpkg/status');
      must('dpkg', '--unpack', build(NEXT).slice(root.directory.length));
      write('var/lib/dpkg/status', before);
      write('var/lib/dpkg/updates/0000', '');
      const planned = await plan();
      expect(planned.mends.map(({ file, action }) => `${action.kind} ${file}`)).toEqual([
        'write /var/lib/dpkg/status',
        'aside /var/lib/dpkg/updates/0000',
      ]);
      expect(planned.reinstall).toMatchObject([{ name: 'tiny', version: '2.0' }]);
      apply(planned);
      expect(shown()).toMatch(/^2\.0 install reinstreq unpacked/);
      // The conffile waits for its configuration, and the record still has the hash of the version before.
      const hash =
        /tiny\.conf (\w+)/.exec(/^Package: tiny\n(?:.+\n)+/m.exec(before)?.[0] ?? '')?.[1] ?? 'none';
      expect(shown()).toContain(`${CONF} ${hash}`);
      expect(must('dpkg', '-i', '/srv/tiny_2.0_all.deb')).toContain('Setting up tiny');
      expect(read(CONF)).toBe('2\n');
    });

    it('I6: an archive that is not of the version, or is damaged, mends nothing', async () => {
      await fresh();
      const deb = build(TINY);
      install(deb);
      const other = build({ ...TINY, version: '3.0' });
      write('var/lib/dpkg/info/tiny.md5sums', '\0'.repeat(40));
      const whole = readFileSync(deb);
      for (const data of [
        readFileSync(other),
        whole.subarray(0, whole.length - 60),
        Buffer.alloc(whole.length),
      ]) {
        writeFileSync(deb, data);
        const planned = await plan();
        expect(planned.mends).toEqual([]);
        expect(planned.unmended.map(({ problem }) => problem.code)).toEqual(['database-md5sums-nul']);
      }
      writeFileSync(deb, whole);
      expect((await plan()).mends.map(({ file }) => file)).toEqual(['/var/lib/dpkg/info/tiny.md5sums']);
    });

    it('a .list that stops dpkg and cannot be rebuilt goes aside, so that the package can be reinstalled', async () => {
      await fresh();
      const deb = build(TINY);
      install(deb);
      const list = read('var/lib/dpkg/info/tiny.list');
      write('var/lib/dpkg/info/tiny.list', list.slice(0, -3));
      expect(chroot('dpkg', '-i', '/srv/tiny_1.0_all.deb').stderr).toContain('missing final newline');
      const planned = await plan([]);
      expect(planned.mends.map(({ file, action }) => `${action.kind} ${file}`)).toContain(
        'aside /var/lib/dpkg/info/tiny.list',
      );
      expect(planned.reinstall).toMatchObject([{ name: 'tiny', version: '1.0' }]);
      apply(planned);
      install(deb);
      expect(read('var/lib/dpkg/info/tiny.list')).toBe(list);
    });

    it('a file that another package replaced does not come back into a rebuilt .list', async () => {
      await fresh();
      install(build({ name: 'tiny', files: { '/usr/share/tiny/a': 'a\n', '/usr/share/tiny/z': 'z\n' } }));
      install(
        build({ name: 'taker', files: { '/usr/share/tiny/a': 'b\n' }, fields: { Replaces: 'tiny (<< 9)' } }),
      );
      const list = read('var/lib/dpkg/info/tiny.list');
      expect(list).not.toContain('/usr/share/tiny/a\n');
      write('var/lib/dpkg/info/tiny.list', '\0'.repeat(list.length));
      apply(await plan());
      expect(read('var/lib/dpkg/info/tiny.list')).toBe(list);
    });

    it('apt: what it can fetch or make goes aside, its marks come back from the copy', async () => {
      await fresh();
      const marks = read('var/lib/apt/extended_states');
      must('apt-get', 'check');
      write('var/backups/apt.extended_states.0', marks);
      const index = '/var/lib/apt/lists';
      const list = `${index}/${
        must('ls', index)
          .split('\n')
          .find((name) => name.endsWith('_Packages')) ?? ''
      }`;
      copyFileSync(home(list), home('srv/kept'));
      const asides = [
        ['apt-list-damaged', list],
        ['apt-cache-damaged', '/var/cache/apt/pkgcache.bin'],
        ['apt-partial', '/var/lib/apt/lists/partial/x'],
        ['apt-partial', '/var/cache/apt/archives/partial/x.deb'],
      ] as const;
      for (const [, path] of asides) write(path, '\0'.repeat(4096));
      const half = marks.slice(0, marks.indexOf('\n\n', 100) + 10);
      for (const data of ['', '\0'.repeat(marks.length), half]) {
        write('var/lib/apt/extended_states', data);
        const planned = await plan();
        const done = planned.mends.map(({ codes, file, action }) => `${codes.join()} ${action.kind} ${file}`);
        expect(done.sort()).toEqual(
          [
            ...asides.map(([code, path]) => `${code} aside ${path}`),
            'apt-extended-states-damaged write /var/lib/apt/extended_states',
          ].sort(),
        );
        const written = planned.mends.find(({ action }) => action.kind === 'write');
        expect(written?.action.kind === 'write' && written.action.data).toBe(marks);
      }
      apply(await plan());
      expect(aptProblems(new Root(root.directory))).toEqual([]);
      expect(existsSync(home(list))).toBe(false);
      expect(must('apt-mark', 'showauto').trim()).not.toBe('');
      copyFileSync(home('srv/kept'), home(list));
      must('apt-get', 'check');
      rmSync(home('var/backups/apt.extended_states.0'));
      write('var/lib/apt/extended_states', half);
      expect((await plan()).unmended.map(({ problem }) => problem.code)).toEqual([
        'apt-extended-states-damaged',
      ]);
    });
  });
}
