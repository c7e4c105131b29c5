/**
 * Programs whose notes of their own work came through a cut while the work did not: as XFS leaves them, which writes file
 * by file. The uninterrupted run says what the second one has to end with.
 */
import { randomUUID } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { inRoot, installDebmend, mustInRoot } from '../lab/chroot.ts';
import { buildPackage } from '../lab/packages.ts';
import { type DebianRoot, debianRoot, rootDescribe, rootTest } from '../lab/roots.ts';
import { overlayOver } from './lab/overlay.ts';
import { debmendRecovery, interrupt } from './lab/states.ts';

const PROFILE = `Name: made up by a test
Default: yes
Priority: 0
Auth-Type: Additional
Auth:
\toptional pam_permit.so
Session-Type: Additional
Session:
\toptional pam_permit.so
`;

const SERVICE = {
  '/etc/init.d/tiny-notes': {
    content: `#!/bin/sh
### BEGIN INIT INFO
# Provides: tiny-notes
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: made up by a test
### END INIT INFO
`,
    mode: 0o755,
  },
};

/** All programs, each in the order in which debhelper has them. */
const POSTINST = `#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
pam-auth-update --package
ucf /usr/share/tiny-notes/shipped.conf /etc/tiny-notes.conf
ucfr tiny-notes /etc/tiny-notes.conf
if [ -e /etc/init.d/tiny-notes ]; then update-rc.d tiny-notes defaults; fi
[ "\${LAB_CUT:-}" != configured ] || kill -KILL $PPID $$
`;

const TYPES = ['auth', 'account', 'password', 'session', 'session-noninteractive'];
const WORK = [...TYPES.map((type) => `etc/pam.d/common-${type}`), 'etc/tiny-notes.conf'];
const NOTES = [
  ...TYPES.map((type) => `var/lib/pam/${type}`),
  'var/lib/pam/seen',
  'var/lib/ucf/hashfile',
  'var/lib/ucf/registry',
];

/** ucf asks by debconf about a file that somebody changed. */
const UNATTENDED = { DEBIAN_FRONTEND: 'noninteractive' };

type Edit = (directory: string) => void;
type Tree = ReadonlyMap<string, string | undefined>;

rootDescribe('notes of programs that a cut kept without the work', () => {
  let root: DebianRoot;
  beforeAll(async () => {
    root = await debianRoot('bookworm', { include: ['libatomic1', 'ucf'] });
    const { directory } = root;
    await installDebmend(directory);
    mkdirSync(join(directory, 'srv/tiny'));
    for (const version of ['1.0', '2.0']) {
      const deb = buildPackage(
        {
          name: 'tiny-notes',
          version,
          files: {
            '/usr/share/tiny-notes/shipped.conf': `as shipped in ${version}\n`,
            '/usr/share/pam-configs/tiny-notes-1': PROFILE,
            ...(version === '1.0' ? {} : { '/usr/share/pam-configs/tiny-notes-2': PROFILE, ...SERVICE }),
          },
          conffiles: version === '1.0' ? [] : Object.keys(SERVICE),
          control: { postinst: POSTINST },
        },
        join(directory, 'srv/tiny'),
      );
      copyFileSync(deb, join(directory, `srv/tiny/${version}.deb`));
    }
    await mustInRoot(directory, ['dpkg', '-i', '/srv/tiny/1.0.deb'], { offline: true });
    await mustInRoot(directory, ['debmend', 'hooks', 'install']);
    await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
  });
  afterAll(() => root?.remove());

  const workload = { command: ['dpkg', '-i', '/srv/tiny/2.0.deb'], timed: false };

  /** What stands there after an upgrade, cut or not. */
  const upgraded = async <T>(
    edit: Edit | undefined,
    use: (directory: string, before: Tree) => Promise<T>,
  ): Promise<T> => {
    const overlay = overlayOver(root.directory);
    try {
      edit?.(overlay.directory);
      return await use(overlay.directory, treeOf(overlay.directory));
    } finally {
      overlay.remove();
    }
  };

  const uninterrupted = (edit?: Edit): Promise<Tree> =>
    upgraded(edit, async (directory) => {
      await mustInRoot(directory, workload.command, { offline: true, env: UNATTENDED });
      return treeOf(directory);
    });

  /** Cut at the end of the postinst; some files are then what they were before. @returns after the recovery */
  const recovered = (
    lost: readonly string[],
    edits: { readonly before?: Edit; readonly after?: Edit } = {},
  ): Promise<Tree> =>
    upgraded(edits.before, async (directory, before) => {
      expect(await interrupt(directory, workload, { class: 'script', at: 'configured' }, 0)).toBe(true);
      for (const path of lost) {
        const old = before.get(path);
        expect(readFileSync(join(directory, path), 'utf8')).not.toBe(old);
        writeFileSync(join(directory, path), old ?? '');
      }
      edits.after?.(directory);
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect((await inRoot(directory, ['dpkg', '--audit'])).stdout).toBe('');
      expect(readdirSync(join(directory, 'etc/pam.d')).filter((name) => name.endsWith('.pam-new'))).toEqual(
        [],
      );
      return treeOf(directory);
    });

  rootTest('a profile that was seen and is nowhere is switched on', async () => {
    const expected = await uninterrupted();
    const lost = ['auth', 'session', 'session-noninteractive'].flatMap((type) => [
      `etc/pam.d/common-${type}`,
      `var/lib/pam/${type}`,
    ]);
    expect(await recovered(lost)).toEqual(expected);
  });

  rootTest('a profile that is written down and not in use is switched on', async () => {
    const expected = await uninterrupted();
    expect(await recovered(['etc/pam.d/common-auth', 'var/lib/pam/session'])).toEqual(expected);
  });

  rootTest('what stands between its marks goes back, and lines of an administrator stay (I3)', async () => {
    const expected = await uninterrupted();
    const own = 'auth optional pam_mail.so\n';
    const path = 'etc/pam.d/common-auth';
    const add = (directory: string): void =>
      writeFileSync(join(directory, path), readFileSync(join(directory, path), 'utf8') + own);
    const after = await recovered([], { after: add });
    expect(after).toEqual(new Map([...expected, [path, (expected.get(path) ?? '') + own]]));
  });

  rootTest('a file that ucf has noted and that is the old one still becomes the new one', async () => {
    const expected = await uninterrupted();
    expect(await recovered(['etc/tiny-notes.conf'])).toEqual(expected);
  });

  rootTest('a file that an administrator had changed stays, as it does without a cut (I3)', async () => {
    const path = 'etc/tiny-notes.conf';
    const own = 'as the administrator wants it\n';
    const change = (directory: string): void => writeFileSync(join(directory, path), own);
    const expected = await uninterrupted(change);
    expect(expected.get(path)).toBe(own);
    expect(await recovered([], { before: change })).toEqual(expected);
  });

  rootTest('links of a service that a cut came amid are made all', async () => {
    const links = (directory: string): string[] =>
      globSync('etc/rc?.d/*tiny-notes', { cwd: directory }).sort();
    const expected = await upgraded(undefined, async (directory) => {
      await mustInRoot(directory, workload.command, { offline: true, env: UNATTENDED });
      return links(directory);
    });
    expect(expected).toHaveLength(7);
    const after = await upgraded(undefined, async (directory) => {
      expect(await interrupt(directory, workload, { class: 'script', at: 'configured' }, 0)).toBe(true);
      for (const link of links(directory).slice(2)) rmSync(join(directory, link));
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      return links(directory);
    });
    expect(after).toEqual(expected);
  });

  rootTest('one that the cut took is made again, and notes of other files stay', async () => {
    const others = `0123456789abcdef0123456789abcdef  /etc/somebody.conf\n`;
    const add = (directory: string): void =>
      writeFileSync(
        join(directory, 'var/lib/ucf/hashfile'),
        readFileSync(join(directory, 'var/lib/ucf/hashfile'), 'utf8') + others,
      );
    const expected = await uninterrupted();
    const after = await recovered([], {
      after: (directory) => {
        add(directory);
        writeFileSync(join(directory, 'etc/tiny-notes.conf'), '');
      },
    });
    const path = 'var/lib/ucf/hashfile';
    expect(linesOf(after.get(path))).toEqual(linesOf((expected.get(path) ?? '') + others));
    expect(new Map([...after, [path, '']])).toEqual(new Map([...expected, [path, '']]));
  });
});

const linesOf = (text = ''): string[] => text.split('\n').sort();

function treeOf(directory: string): Tree {
  return new Map(
    [...WORK, ...NOTES].map((path) => [
      path,
      existsSync(join(directory, path)) ? readFileSync(join(directory, path), 'utf8') : undefined,
    ]),
  );
}
