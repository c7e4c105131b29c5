/** Exactly these .debs and these removals, by the real apt and dpkg of both releases, without a network. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';
import { aptLocal, dpkgLocal, installLocal } from '../../../src/recovery/programs/local.ts';
import { Programs } from '../../../src/recovery/programs/runner.ts';
import { type HeldLocks, holdLocks } from '../../../src/system/hold-locks.ts';
import { Root } from '../../../src/system/root.ts';
import { debianRoot, LONG_SUITES, rootDescribe, rootTest } from '../../lab/roots.ts';
import { build, must, states } from './lab.ts';

for (const suite of LONG_SUITES) {
  rootDescribe(`local installations in ${suite}`, () => {
    let directory: string;
    let programs: Programs;
    let locks: HeldLocks;
    /** Two versions of three packages that need each other; .debs as paths of this host. */
    let one: string[];
    let two: string[];
    let other: string;

    beforeAll(async () => {
      const root = await debianRoot(suite);
      directory = root.directory;
      must(directory, 'dpkg', '--add-architecture', 'i386');
      locks = await holdLocks(join(directory, 'var/lib/dpkg'), 0);
      programs = await Programs.open(new Root(directory), { locks });
      const set = (version: string): string[] => [
        build(directory, {
          name: 'ta',
          version,
          depends: [`tb (= ${version})`],
          files: { '/usr/share/ta': 'ta\n' },
        }),
        build(directory, { name: 'tb', version, fields: { 'Pre-Depends': 'tc' } }),
        build(directory, { name: 'tc', version }),
      ];
      one = set('1.0');
      two = set('2.0');
      other = build(directory, {
        name: 'td',
        files: { '/etc/td.conf': 'as shipped\n' },
        conffiles: ['/etc/td.conf'],
        fields: { Recommends: 'nosuch', Conflicts: 'te' },
      });
      return async () => {
        await programs.close();
        locks.release();
        root.remove();
      };
    }, 600_000);

    const all = (version: string): string[] => ['ta', 'tb', 'tc'].map((name) => `${name}:all ${version} ii`);
    /** apt-mark has dpkg write it down, which needs to be lent the lock. */
    const mark = (): Promise<string> =>
      locks.aroundDpkg(async () => must(directory, 'apt-mark', 'hold', 'ta'));
    const fine = { problems: [], failure: undefined, code: 0 };

    rootTest('fresh, again, up, down: what was given and nothing else', async () => {
      expect(await aptLocal(programs, { archives: one })).toMatchObject(fine);
      expect(states(directory, 't?')).toEqual(all('1.0'));
      // the very same version is unpacked anew: what was lost comes back
      rmSync(join(directory, 'usr/share/ta'));
      const again = await aptLocal(programs, { archives: one });
      expect(again).toMatchObject(fine);
      expect(again.stdout).toContain('3 reinstalled');
      expect(readFileSync(join(directory, 'usr/share/ta'), 'utf8')).toBe('ta\n');
      expect(await aptLocal(programs, { archives: two })).toMatchObject(fine);
      expect(states(directory, 't?')).toEqual(all('2.0'));
      expect(await aptLocal(programs, { archives: one })).toMatchObject(fine);
      expect(states(directory, 't?')).toEqual(all('1.0'));
      expect(locks.held()).toBe(true);
    });

    rootTest(
      'a held package is changed all the same; its hold goes, as with any unpacking by dpkg',
      async () => {
        await mark();
        expect(states(directory, 'ta')).toEqual(['ta:all 1.0 hi']);
        expect(await aptLocal(programs, { archives: two })).toMatchObject(fine);
        expect(states(directory, 't?')).toEqual(all('2.0'));
      },
    );

    rootTest('removals and purges together with installations', async () => {
      const te = build(directory, {
        name: 'te',
        files: { '/etc/te.conf': 'x\n' },
        conffiles: ['/etc/te.conf'],
      });
      const tf = build(directory, {
        name: 'tf',
        files: { '/etc/tf.conf': 'x\n' },
        conffiles: ['/etc/tf.conf'],
      });
      expect(await aptLocal(programs, { archives: [te, tf] })).toMatchObject(fine);
      // td conflicts with te, so apt has to know of both at once
      const result = await aptLocal(programs, { archives: [other], remove: ['te'], purge: ['tf:all'] });
      expect(result).toMatchObject(fine);
      expect(states(directory, 't[def]')).toEqual(['td:all 1.0 ii', 'te:all 1.0 rc']);
      expect(await aptLocal(programs, { archives: [], purge: ['td', 'te'] })).toMatchObject(fine);
      expect(states(directory, 't?')).toEqual(all('2.0'));
    });

    rootTest('what would take others with it is not done by apt', async () => {
      const before = states(directory, 't?');
      const result = await aptLocal(programs, { archives: [], remove: ['tb'] });
      expect(result.problems).toMatchObject([{ package: 'ta' }]);
      const essential = await installLocal(programs, { archives: [], remove: ['hostname'] });
      expect(essential.problems.map(({ message }) => message).join()).toContain('essential');
      expect(states(directory, 't?', 'hostname').filter((line) => line.startsWith('t'))).toEqual(before);
    });

    rootTest('both of a multi-arch pair', async () => {
      const pair = ['amd64', 'i386'].map((architecture) =>
        build(directory, { name: 'tm', architecture, fields: { 'Multi-Arch': 'same' } }),
      );
      expect(await aptLocal(programs, { archives: pair })).toMatchObject(fine);
      expect(states(directory, 'tm')).toEqual(['tm:amd64 1.0 ii', 'tm:i386 1.0 ii']);
      expect(await aptLocal(programs, { archives: pair })).toMatchObject(fine);
      expect(await aptLocal(programs, { archives: [], purge: ['tm:i386'] })).toMatchObject(fine);
      expect(states(directory, 'tm')).toEqual(['tm:amd64 1.0 ii']);
      expect(await aptLocal(programs, { archives: [], purge: ['tm'] })).toMatchObject(fine);
    });

    rootTest('packages in every state that a cut leaves', async () => {
      expect(await aptLocal(programs, { archives: [...one, other] })).toMatchObject(fine);
      const status = join(directory, 'var/lib/dpkg/status');
      const set = (name: string, state: string): void => {
        const text = readFileSync(status, 'latin1');
        const changed = text.replace(
          new RegExp(`(Package: ${name}\nStatus: )install ok installed`),
          `$1install ${state}`,
        );
        expect(changed).not.toBe(text);
        writeFileSync(status, changed, 'latin1');
      };
      set('ta', 'reinstreq half-installed');
      set('tb', 'ok unpacked');
      set('tc', 'reinstreq unpacked');
      set('td', 'ok half-configured');
      expect(await aptLocal(programs, { archives: [...one, other] })).toMatchObject(fine);
      expect(states(directory, 't?')).toEqual([...all('1.0'), 'td:all 1.0 ii']);
      expect(must(directory, 'dpkg', '--audit')).toBe('');
    });

    rootTest('by dpkg alone: pre-dependencies in any order, removals, and what cannot be', async () => {
      expect(await dpkgLocal(programs, { archives: [], purge: ['ta', 'tb', 'tc', 'td'] })).toMatchObject(
        fine,
      );
      expect(states(directory, 't?')).toEqual([]);
      expect(await dpkgLocal(programs, { archives: one })).toMatchObject({ problems: [], code: 0 });
      expect(states(directory, 't?')).toEqual(all('1.0'));
      const lost = build(directory, { name: 'tl', fields: { 'Pre-Depends': 'nosuch' } });
      const result = await dpkgLocal(programs, { archives: [lost] });
      expect(result.problems).toMatchObject([{ archive: programs.inside(lost), operation: '--unpack' }]);
      expect(result.runs.length).toBeLessThan(4);
    });

    rootTest('where apt refuses dpkg goes on, and where a package fails it is not tried twice', async () => {
      // something is broken that has nothing to do with it: apt then refuses everything
      const needy = build(directory, { name: 'needy', depends: ['nosuch'] });
      expect((await dpkgLocal(programs, { archives: [needy] })).problems).toMatchObject([
        { package: 'needy' },
      ]);
      const refused = await aptLocal(programs, { archives: [other] });
      expect(refused.problems.length).toBeGreaterThan(0);
      await installLocal(programs, { archives: [other] });
      expect(states(directory, 'td')).toEqual(['td:all 1.0 ii']);
      await dpkgLocal(programs, { archives: [], purge: ['needy'] });

      const failing = build(directory, { name: 'failing', control: { postinst: '#!/bin/sh\nexit 1\n' } });
      const failed = await installLocal(programs, { archives: [failing] });
      expect(failed.problems[0]).toMatchObject({ by: 'dpkg', package: 'failing', operation: '--configure' });
      expect(failed.runs).toHaveLength(1);
    });
  });
}
