/**
 * The proving ground proved by itself, before anything is proved by it: the judge finds every single kind of change, and
 * nothing between two uninterrupted runs; and what the standard playbook is known to leave behind, it finds.
 */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { mustInRoot } from '../lab/chroot.ts';
import { rootDescribe, rootTest, someOf } from '../lab/roots.ts';
import { readImage } from './lab/image.ts';
import { compareImages } from './lab/judge.ts';
import { fatesOf } from './lab/nothing-lost.ts';
import { interrupt, playbook, StatesLab, WORKLOADS, workloadNamed } from './lab/states.ts';

/** What is done to a root, and what the judge then has to say, of that and of nothing else. */
type Change = readonly [name: string, change: (at: (path: string) => string) => void, said: RegExp];

const rewrite = (file: string, edit: (text: string) => string): void => {
  const text = readFileSync(file, 'latin1');
  const edited = edit(text);
  if (edited === text) throw new Error(`nothing to change in ${file}`);
  writeFileSync(file, edited, 'latin1');
};

const CHANGES: readonly Change[] = [
  [
    'one byte',
    (at) => rewrite(at('usr/share/lab/data'), (text) => `${text.slice(0, 5000)}X${text.slice(5001)}`),
    /^\/usr\/share\/lab\/data: other content, 70000 bytes$/,
  ],
  [
    'zero length',
    (at) => truncateSync(at('usr/share/lab/data')),
    /^\/usr\/share\/lab\/data: empty instead of 70000 bytes$/,
  ],
  [
    'a mode bit',
    (at) => chmodSync(at('usr/bin/lab-extra-pager'), 0o754),
    /pager: mode 0754 instead of 0755$/,
  ],
  [
    'the setuid bit',
    (at) => chmodSync(at('usr/lib/lab-core/helper'), 0o755),
    /helper: mode 0755 instead of 4755$/,
  ],
  [
    "a directory's mode",
    (at) => chmodSync(at('var/lib/lab-1/private'), 0o755),
    /private: mode 0755 instead of 0700$/,
  ],
  ['an owner', (at) => chownSync(at('usr/share/lab/constant'), 1, 0), /constant: of 1:0 instead of 0:0$/],
  ['a group', (at) => chownSync(at('etc/lab'), 0, 1), /^\/etc\/lab: of 0:1 instead of 0:0$/],
  [
    'a missing empty directory',
    (at) => rmdirSync(at('usr/share/lab/empty')),
    /^\/usr\/share\/lab\/empty: missing, a directory$/,
  ],
  [
    'an extra empty directory',
    (at) => mkdirSync(at('usr/share/lab/extra')),
    /^\/usr\/share\/lab\/extra: should not be there, a directory$/,
  ],
  [
    'an extra file',
    (at) => writeFileSync(at('etc/lab/extra'), ''),
    /^\/etc\/lab\/extra: should not be there, a file of 0 bytes$/,
  ],
  [
    'a leftover',
    (at) => writeFileSync(at('usr/bin/lab.dpkg-new'), 'half'),
    /lab\.dpkg-new: should not be there, a file of 4 bytes$/,
  ],
  [
    'a lost file',
    (at) => rmSync(at('usr/share/lab/greeting.lab-core')),
    /greeting\.lab-core: missing, a file of \d+ bytes$/,
  ],
  [
    "a link's target",
    (at) => {
      rmSync(at('usr/share/lab/current'));
      symlinkSync('greeting', at('usr/share/lab/current'));
    },
    /current: leads to greeting instead of data$/,
  ],
  [
    'a file for a link',
    (at) => {
      rmSync(at('usr/share/lab/current'));
      writeFileSync(at('usr/share/lab/current'), '');
      chmodSync(at('usr/share/lab/current'), 0o777);
    },
    /current: a file instead of a link$/,
  ],
  ['a lost pipe', (at) => rmSync(at('var/lib/lab-1/private/pipe')), /pipe: missing, a fifo$/],
  [
    'a hard link that became two files',
    (at) => {
      rmSync(at('usr/bin/lab-alias'));
      writeFileSync(at('usr/bin/lab-alias'), readFileSync(at('usr/bin/lab')), { mode: 0o755 });
    },
    /^\/usr\/bin\/lab(-alias)?: one file with \/usr\/bin\/lab(-alias)? instead of \/usr\/bin\/lab \/usr\/bin\/lab-alias$/,
  ],
  [
    'two files that became one',
    (at) => {
      rmSync(at('usr/share/lab/constant'));
      linkSync(at('etc/lab/constant.conf'), at('usr/share/lab/constant'));
    },
    /^\/(etc\/lab\/constant\.conf|usr\/share\/lab\/constant): one file with/,
  ],
  [
    'a capability',
    (at) => setcap(at('usr/lib/lab-extra/tool')),
    /tool: capability [0-9a-f]+ instead of none$/,
  ],
  [
    "a package's state",
    (at) => record(at, 'lab-core', 'Status: install ok installed', 'Status: install ok half-configured'),
    /dpkg's record of lab-core:all: status is 'install ok half-configured' instead of 'install ok installed'$/,
  ],
  [
    "a package's want",
    (at) => record(at, 'lab-core', 'Status: install ok', 'Status: hold ok'),
    /status is 'hold ok installed'/,
  ],
  [
    "a package's other field",
    (at) => record(at, 'lab-core', 'Maintainer: ', 'Maintainer: no'),
    /dpkg's record of lab-core:all: maintainer is/,
  ],
  [
    "a conffile's hash",
    (at) =>
      rewrite(at('var/lib/dpkg/status'), (text) =>
        text.replace(/(\/etc\/lab\/same\.conf )[0-9a-f]{32}/, '$1newconffile'),
      ),
    /lab-core:all: conffile \/etc\/lab\/same\.conf is 'newconffile' instead of '[0-9a-f]{32}'$/,
  ],
  [
    "a conffile's flag",
    (at) =>
      rewrite(at('var/lib/dpkg/status'), (text) =>
        text.replace(/(\/etc\/lab\/same\.conf [0-9a-f]{32})/, '$1 obsolete'),
      ),
    /same\.conf is '[0-9a-f]{32} obsolete' instead of/,
  ],
  [
    'a lost package',
    (at) => rewrite(at('var/lib/dpkg/status'), (text) => text.replace(/Package: lab-lib\n[\s\S]*?\n\n/, '')),
    /dpkg's record of lab-lib:\w+ is missing$/,
  ],
  [
    'a damaged status file',
    (at) => appendFileSync(at('var/lib/dpkg/status'), '\0\0\0'),
    /^\/var\/lib\/dpkg\/status: damaged$/,
  ],
  [
    'a lost automatic mark',
    (at) =>
      rewrite(at('var/lib/apt/extended_states'), (text) =>
        text.replace(/Package: lab-core\n[\s\S]*?\n\n/, ''),
      ),
    /apt's record of lab-core:\w+ is missing$/,
  ],
  [
    'a line of a file list',
    (at) =>
      rewrite(at('var/lib/dpkg/info/lab-core.list'), (text) => text.replace('/usr/share/lab/data\n', '')),
    /lab-core\.list: other content/,
  ],
  [
    'a maintainer script',
    (at) => rewrite(at('var/lib/dpkg/info/lab-core.postinst'), (text) => `${text}\n`),
    /lab-core\.postinst: other content/,
  ],
  [
    'a leftover of the journal',
    (at) => writeFileSync(at('var/lib/dpkg/updates/0001'), ''),
    /updates\/0001: should not be there/,
  ],
  [
    'what a note of it says',
    (at) => {
      const [stanza = ''] =
        /^Package: lab-extra\n(?:.+\n)+/m.exec(readFileSync(at('var/lib/dpkg/status'), 'latin1')) ?? [];
      writeFileSync(at('var/lib/dpkg/updates/0001'), stanza.replace('ok installed', 'ok half-installed'));
    },
    /^\/var\/lib\/dpkg\/status: dpkg's record of lab-extra:all: status is 'install ok half-installed'/,
  ],
  [
    'a diversion',
    (at) =>
      rewrite(at('var/lib/dpkg/diversions'), (text) => text.replace('greeting.lab-core', 'greeting.other')),
    /the diversion of \/usr\/share\/lab\/greeting: to is/,
  ],
  [
    'an override',
    (at) => rewrite(at('var/lib/dpkg/statoverride'), (text) => text.replace(/^root lab 2755 .*\n/m, '')),
    /the override of \/usr\/lib\/lab-extra\/tool is missing$/,
  ],
  [
    'an interest in a file',
    (at) =>
      rewrite(at('var/lib/dpkg/triggers/File'), (text) => text.replace('lab-extra/noawait', 'lab-extra')),
    /the interest in \/usr\/share\/lab-hooks by lab-extra: noawait is 'false'/,
  ],
  [
    'an interest in a name',
    (at) => rmSync(at('var/lib/dpkg/triggers/lab-refresh')),
    /triggers\/lab-refresh: missing/,
  ],
  [
    'a deferred trigger',
    (at) => appendFileSync(at('var/lib/dpkg/triggers/Unincorp'), 'lab-refresh lab-core\n'),
    /the activation of lab-refresh should not be there$/,
  ],
  [
    'an alternative',
    (at) => rewrite(at('var/lib/dpkg/alternatives/lab-pager'), (text) => text.replace('auto', 'manual')),
    /alternatives\/lab-pager: other content/,
  ],
  [
    "an alternative's link",
    (at) => rmSync(at('etc/alternatives/lab-pager')),
    /^\/etc\/alternatives\/lab-pager: missing, a link$/,
  ],
  [
    'a lost user',
    (at) => rewrite(at('etc/passwd'), (text) => text.replace(/^lab:.*\n/m, '')),
    /^\/etc\/passwd: other content/,
  ],
  [
    'a password',
    (at) => rewrite(at('etc/shadow'), (text) => text.replace(/^lab:!+/m, 'lab:')),
    /the password of lab: password is/,
  ],
  ["a log's directory", (at) => chmodSync(at('var/log/apt'), 0o700), /^\/var\/log\/apt: mode 0700/],
  [
    'an empty secret',
    (at) => truncateSync(at('var/cache/ldconfig/aux-cache')),
    /aux-cache: empty instead of/,
  ],
];

function record(at: (path: string) => string, name: string, from: string, to: string): void {
  rewrite(at('var/lib/dpkg/status'), (text) => {
    const start = text.indexOf(`Package: ${name}\n`);
    return text.slice(0, start) + text.slice(start).replace(from, to);
  });
}

function setcap(file: string): void {
  // linux/capability.h, VFS_CAP_REVISION_2: permitted CAP_NET_RAW, effective
  const value = '0x0100000200200000000000000000000000000000';
  const script = `import os,sys; os.setxattr(sys.argv[1], 'security.capability', bytes.fromhex('${value.slice(2)}'))`;
  const { status, stderr } = spawnSync('python3', ['-c', script, file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

rootDescribe('the proving ground', () => {
  let lab: StatesLab;
  beforeAll(async () => {
    lab = await StatesLab.open();
  });
  afterAll(() => lab?.close());

  rootTest('the judge finds every single kind of change, and says what it is', async () => {
    const upgrade = workloadNamed('upgrade');
    const expected = lab.base(upgrade);
    for (const [name, change, said] of CHANGES) {
      const overlay = lab.overlay(upgrade);
      try {
        change((path) => join(overlay.directory, path));
        const { differences } = compareImages(expected, await readImage(overlay.directory, expected));
        expect(differences.length, `${name}: ${differences.join('; ')}`).toBeGreaterThan(0);
        for (const line of differences) expect(line, name).toMatch(said);
      } finally {
        overlay.remove();
      }
    }
  });

  rootTest('an overlay shows its lower root, and no change comes through to that', async () => {
    const upgrade = workloadNamed('upgrade');
    const lower = lab.base(upgrade);
    const overlay = lab.overlay(upgrade);
    try {
      const image = await readImage(overlay.directory, lower);
      expect(compareImages(lower, image)).toEqual({ differences: [], ignored: [] });
      expect(image.contents.size).toBe(0); // nothing had to be read again
      renameSync(join(overlay.directory, 'usr/share/lab'), join(overlay.directory, 'usr/share/moved'));
      appendFileSync(join(overlay.directory, 'usr/bin/lab'), 'more');
      expect(readFileSync(join(overlay.directory, 'usr/bin/lab-alias'), 'utf8')).toMatch(/more$/);
    } finally {
      overlay.remove();
    }
    expect(compareImages(lower, await readImage(lower.directory)).differences).toEqual([]);
    expect(() => lstatSync(overlay.directory)).toThrow('ENOENT');
  });

  rootTest('between two uninterrupted runs the judge finds nothing, and nothing is lost', async () => {
    for (const workload of WORKLOADS) {
      const { expected } = await lab.uninterrupted(workload);
      const again = await lab.runToTheEnd(workload);
      expect(compareImages(expected, again.expected).differences, workload.name).toEqual([]);
      // And it has to have something to judge.
      expect(compareImages(lab.base(workload), expected).differences.length).toBeGreaterThan(10);
      const base = lab.base(workload);
      expect(fatesOf(base, base, { base, expected }).lost, workload.name).toEqual([]);
    }
  });

  rootTest('a file that is gone is lost, unless it is in quarantine as it was', async () => {
    const workload = workloadNamed('upgrade');
    const base = lab.base(workload);
    const { expected } = await lab.uninterrupted(workload);
    const overlay = lab.overlay(workload);
    try {
      const at = (path: string) => join(overlay.directory, path);
      const lost = async () =>
        fatesOf(base, await readImage(overlay.directory, base), { base, expected }).lost;
      expect(await lost()).toEqual([]);
      mkdirSync(at('var/lib/debmend/quarantine/1'), { recursive: true });
      renameSync(at('etc/lab/own.conf'), at('var/lib/debmend/quarantine/1/1'));
      expect(await lost()).toEqual([]);
      chmodSync(at('var/lib/debmend/quarantine/1/1'), 0o600);
      expect(await lost()).toEqual([expect.stringMatching(/^\/etc\/lab\/own\.conf: .*neither/)]);
      chmodSync(at('var/lib/debmend/quarantine/1/1'), 0o644);
      appendFileSync(at('usr/share/lab/own-data'), 'more');
      rmSync(at('var/lib/lab-1/private/pipe'));
      expect(await lost()).toEqual([
        expect.stringMatching(/^\/usr\/share\/lab\/own-data: .*stands in its place$/),
        expect.stringMatching(/^\/var\/lib\/lab-1\/private\/pipe: a fifo/),
      ]);
    } finally {
      overlay.remove();
    }
  });

  rootTest('the beginning of what a script writes again is not lost, and anything else is', async () => {
    const workload = workloadNamed('upgrade');
    const base = lab.base(workload);
    const { expected } = await lab.uninterrupted(workload);
    const [broken, ended] = [lab.overlay(workload), lab.overlay(workload)];
    try {
      await mustInRoot(ended.directory, workload.command, { offline: true });
      const after = await readImage(ended.directory, base);
      const index = join(broken.directory, 'var/lib/lab-extra/index');
      const lost = async () =>
        fatesOf(await readImage(broken.directory, base), after, { base, expected }).lost;
      truncateSync(index, 9);
      expect(await lost()).toEqual([]);
      writeFileSync(index, 'somebody’s own');
      expect(await lost()).toEqual([expect.stringMatching(/^\/var\/lib\/lab-extra\/index: /)]);
    } finally {
      broken.remove();
      ended.remove();
    }
  });

  rootTest('what the standard playbook leaves behind is found', async () => {
    // Scripts that leave alone what is there: half of it stays, and nobody ever says so.
    const cut = async (workload: string, at: string) =>
      await lab.run({ workload, class: 'script', at, boot: 'reboot' }, playbook);
    const settings = await cut('install', 'postinst-amid-settings');
    expect(settings).toMatchObject({ interrupted: true, code: 0, audit: '', lost: [] });
    expect(settings.differences).toEqual(['/etc/lab-settings-2: other content, 10 bytes instead of 21']);
    const state = await cut('upgrade', 'postinst-amid-state');
    expect(state).toMatchObject({ interrupted: true, code: 0, audit: '' });
    expect(state.differences).toEqual(
      expect.arrayContaining([
        '/var/lib/lab-2/two: missing, a file of 10 bytes',
        '/var/lib/lab-2/private/pipe: missing, a fifo',
      ]),
    );
    // And where nothing was left, the playbook is as good as any: the judge finds no fault where there is none.
    expect(await cut('install', 'postinst-after-settings')).toMatchObject({
      code: 0,
      differences: [],
      lost: [],
    });
  });

  rootTest('every place and every call at which a run is cut is reached', async () => {
    for (const workload of WORKLOADS.filter(({ timed }) => !timed)) {
      const points = (await lab.points(workload)).filter(({ boot }) => boot === 'same');
      const ofClass = Map.groupBy(points, (point) => point.class);
      expect([...ofClass.keys()]).toEqual(
        expect.arrayContaining(['rename', 'unlink', 'fsync', 'wait4', 'script']),
      );
      const last = [...ofClass].flatMap(([kind, all]) => (kind === 'script' ? all : all.slice(-1)));
      for (const point of someOf(last, 5)) {
        const overlay = lab.overlay(workload);
        try {
          expect(await interrupt(overlay.directory, workload, point, 0), `${workload.name} ${point.at}`).toBe(
            true,
          );
        } finally {
          overlay.remove();
        }
      }
    }
  });

  rootTest('a command without a network, and after a reboot, sees it so', async () => {
    const overlay = lab.overlay(workloadNamed('install'));
    try {
      const boot = '01234567-89ab-4cde-8f01-23456789abcd';
      const script =
        'cat /proc/sys/kernel/random/boot_id; ls /sys/class/net; mount | grep -c boot_id; ls /sys | grep boot_id; :';
      const command = ['sh', '-c', script];
      const options = { offline: true, boot };
      expect(await mustInRoot(overlay.directory, command, options)).toBe(`${boot}\nlo\n1\n`);
      const here = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
      expect(await mustInRoot(overlay.directory, ['cat', '/proc/sys/kernel/random/boot_id'])).toBe(here);
    } finally {
      overlay.remove();
    }
  });
});
