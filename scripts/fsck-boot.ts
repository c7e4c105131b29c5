/**
 * Filesystem checks asked for and made, on a whole machine in QEMU. A root and a data disk, both ext4:
 *
 *   1. boots, asks for both, and starts anew in an orderly way
 *   2. both were checked; what came of it is reported; both are asked for once more, and the power goes
 *   3. both were checked again; the superblocks' settings are as they were; off
 *   4. neither is checked
 *
 * With --xfs the data disk is XFS and asked for alone, by GRUB, which is started as QEMU's kernel from boot 2 on
 * (lnxboot.img): in an orderly way first, and then the power goes, which leaves its log dirty.
 *
 * Exit code 0: all of that was seen. QEMU translates everything: a boot takes a minute, and several on a busy
 * machine.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installUnits } from '../src/services/install.ts';
import { Root } from '../src/system/root.ts';
import { installDebmend, mustInRoot } from '../test/lab/chroot.ts';
import { type Machine, machine } from '../test/lab/qemu.ts';
import { type DebianSuite, debianRoot } from '../test/lab/roots.ts';

const USAGE = `usage: node scripts/fsck-boot.ts [--suite bookworm|trixie] [--xfs] [--limit MINUTES]

  --xfs     the data disk is XFS and asked for by GRUB; of trixie alone, for bookworm's fsck.xfs checks nothing
  --limit   of each boot (default 20)

Exit codes: 0 every check was made and reported; 1 it was not; 2 usage`;

const PACKAGES = [
  'systemd',
  'systemd-sysv',
  'udev',
  'libatomic1',
  'libstdc++6',
  'linux-image-cloud-amd64',
  'e2fsprogs',
];
const XFS_PACKAGES = ['grub2-common', 'grub-pc-bin', 'xfsprogs'];

/** What the guest prints of each boot, between marks: this script reads it from the console. */
const LAB = `#!/bin/sh
exec >/dev/ttyS0 2>&1
show() { echo; echo "# $*"; "$@"; }
boot=$(($(cat /lab/boots 2>/dev/null || echo 0) + 1))
echo "$boot" >/lab/boots
echo "== boot $boot"
# The recovery's service settles what was asked for.
for wait in $(seq 300); do
  case "$(systemctl is-active debmend-recover.service)" in activating | inactive) sleep 1 ;; *) break ;; esac
  [ "$(systemctl show -P InactiveEnterTimestampMonotonic debmend-recover.service)" = 0 ] || break
done
show cat /run/initramfs/fsck.log
show journalctl --no-pager -b -o cat -t systemd-fsck
show journalctl --no-pager -b -o cat -u debmend-recover.service
echo "== checks $boot"
debmend fsck schedule --json
echo "== end"
for device in /dev/vda /dev/vdb; do
  echo "== settings $boot $device $(tune2fs -l $device | sed -n 's/^Maximum mount count: *//p; s/^Filesystem state: *//p' | tr '\\n' ' ')"
done
show cat /proc/cmdline
`;

const EXT4_BOOTS = `
case $boot in
  1)
    show debmend fsck schedule / /srv --dry-run
    show debmend fsck schedule / /srv
    show debmend fsck schedule / /srv
    systemctl reboot
    ;;
  2)
    show debmend fsck schedule / /srv
    show debmend fsck status
    sync
    echo "== the power goes"
    echo b >/proc/sysrq-trigger
    ;;
  *) systemctl poweroff ;;
esac
`;

const XFS_BOOTS = `
case $boot in
  1)
    update-grub
    show debmend fsck schedule /srv --dry-run
    show debmend fsck schedule /srv
    show debmend fsck schedule /srv
    systemctl reboot
    ;;
  2)
    show grub-editenv list
    show ls /etc/grub.d /etc/default/grub.d
    show grep -c debmend /boot/grub/grub.cfg
    show debmend fsck schedule /srv
    # GRUB replays no journal: what it reads has to be in its place.
    sync; fsfreeze --freeze /; fsfreeze --unfreeze /
    touch /srv/file; sync /srv/file
    echo "== the power goes"
    echo b >/proc/sysrq-trigger
    ;;
  *) systemctl poweroff ;;
esac
`;

const LAB_UNIT = `[Unit]
Description=What became of the checks
After=local-fs.target systemd-journal-flush.service debmend-recover.service
[Service]
Type=simple
ExecStart=/lab/lab
[Install]
WantedBy=multi-user.target
`;

/** The limit that the administrator set on the data disk: it has to come back. */
const LIMIT = 44;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      suite: { type: 'string' },
      xfs: { type: 'boolean', default: false },
      limit: { type: 'string', default: '20' },
    },
  });
  const { xfs, suite = xfs ? 'trixie' : 'bookworm' } = values;
  const minutes = Number(values.limit);
  if (!(xfs ? /^trixie$/ : /^(?:bookworm|trixie)$/).test(suite) || !(minutes > 0)) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const guest = await machine();
  try {
    await install(guest, suite as DebianSuite, xfs);
    const consoles: string[] = [];
    for (let boot = 1; boot <= 4; boot += 1) {
      const { console, timedOut, seconds, stderr } = await guest.boot({
        append: 'systemd.show_status=no',
        ...(xfs && boot > 1 ? { kernel: { file: 'grub' } } : {}),
        drives: [{ file: 'disk' }, { file: 'data' }],
        timeout: minutes * 60_000,
      });
      process.stdout.write(
        `${console}\n== ${timedOut ? 'did not end' : 'ended'} after ${seconds} s\n${stderr}`,
      );
      consoles.push(console);
      if (timedOut) break;
    }
    const mistakes = xfs ? judgeXfs(consoles) : judge(consoles);
    for (const mistake of mistakes) process.stdout.write(`WRONG: ${mistake}\n`);
    process.stdout.write(mistakes.length === 0 ? 'every check was made and reported\n' : '');
    return mistakes.length === 0 ? 0 : 1;
  } finally {
    guest.remove();
  }
}

async function install(guest: Machine, suite: DebianSuite, xfs: boolean): Promise<void> {
  const root = await debianRoot(suite, { include: [...PACKAGES, ...(xfs ? XFS_PACKAGES : [])] });
  try {
    const put = (path: string, text: string, mode = 0o644) => {
      mkdirSync(join(root.directory, path, '..'), { recursive: true });
      writeFileSync(join(root.directory, path), text, { mode });
    };
    const type = xfs ? 'xfs' : 'ext4';
    put('etc/fstab', `/dev/vda / ext4 errors=remount-ro 0 1\n/dev/vdb /srv ${type} defaults 0 2\n`);
    // Where the initramfs is made there is no such device, and it would be left without any fsck.
    put('etc/initramfs-tools/conf.d/fstype', 'FSTYPE=ext4\n');
    await mustInRoot(root.directory, ['update-initramfs', '-u']);
    await installDebmend(root.directory);
    installUnits(new Root(root.directory), '/usr/lib/debmend');
    put('lab/lab', `${LAB}${xfs ? XFS_BOOTS : EXT4_BOOTS}`, 0o755);
    put('etc/systemd/system/lab.service', LAB_UNIT);
    mkdirSync(join(root.directory, 'var/log/journal'), { recursive: true });
    const link = '/etc/systemd/system/multi-user.target.wants/lab.service';
    await mustInRoot(root.directory, ['ln', '-s', '../lab.service', link]);
    guest.takeKernel(root.directory);
    if (xfs) await installGrub(guest, root.directory, put);
    guest.install(root.directory, 'disk', '3G');
  } finally {
    root.remove();
  }
  if (xfs) {
    guest.format(['mkfs.xfs', '-q', '-L', 'DATA'], 'data', 512 * 1024 ** 2);
    return;
  }
  guest.format(['mke2fs', '-q', '-t', 'ext4', '-L', 'DATA'], 'data', 256 * 1024 ** 2);
  guest.format(['tune2fs', '-c', String(LIMIT)], 'data', 256 * 1024 ** 2);
}

/** GRUB as QEMU's kernel. */
async function installGrub(
  guest: Machine,
  root: string,
  put: (path: string, text: string) => void,
): Promise<void> {
  const words = 'console=ttyS0 systemd.show_status=no';
  put(
    'etc/default/grub',
    `GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX="${words}"\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n`,
  );
  const modules = 'biosdisk ext2 normal linux search search_fs_uuid configfile loadenv test echo minicmd';
  const make = [
    'set -e',
    'mkdir -p /boot/grub',
    'cp -r /usr/lib/grub/i386-pc /boot/grub/',
    `grub-mkimage -O i386-pc -o /lab/core -p '(hd0)/boot/grub' ${modules}`,
    'cat /usr/lib/grub/i386-pc/lnxboot.img /lab/core >/lab/grub',
  ];
  await mustInRoot(root, ['sh', '-c', make.join('\n')]);
  copyFileSync(join(root, 'lab/grub'), join(guest.directory, 'grub'));
}

interface Check {
  readonly mountPoint: string;
  readonly method: string;
  readonly stage: string;
  readonly restored: boolean;
  readonly result?: { readonly outcome: string; readonly text: string };
  readonly said?: readonly string[];
}

/** What is not as it has to be; a line each. */
function judge(consoles: readonly string[]): string[] {
  const mistakes: string[] = [];
  const expect = (what: string, is: boolean) => {
    if (!is) mistakes.push(what);
  };
  expect(`only ${consoles.length} boots ended`, consoles.length === 4);
  const [first = '', second = '', third = '', fourth = ''] = consoles;
  expect('boot 1: the root is asked for by the error flag', first.includes('tune2fs -E force_fsck /dev/vda'));
  expect('boot 1: the data disk is asked for by mounts', first.includes('tune2fs -C 99 -c 30 /dev/vdb'));
  expect('boot 1: nothing is asked for twice', count(first, 'was asked for before') === 2);
  for (const [at, text] of [
    [2, second],
    [3, third],
  ] as const) {
    const checks = checksIn(text).slice(-2);
    for (const [mountPoint, method, words] of [
      ['/', 'error-flag', 'contains a file system with errors, check forced'],
      ['/srv', 'mount-count', 'has been mounted 99 times without being checked, check forced'],
    ] as const) {
      const check = checks.find((one) => one.mountPoint === mountPoint);
      expect(`boot ${at}: ${mountPoint} was checked`, check?.stage === 'checked' && check.method === method);
      expect(`boot ${at}: what was changed for ${mountPoint} is put back`, check?.restored === true);
      expect(
        `boot ${at}: ${mountPoint}: fsck said so`,
        check?.said?.some((line) => line.includes(words)) === true,
      );
      expect(`boot ${at}: ${mountPoint}: an outcome is told`, check?.result !== undefined);
    }
    const settings = (device: string) =>
      new RegExp(`^== settings ${at} ${device} (.*)$`, 'm').exec(text)?.[1]?.trim();
    expect(`boot ${at}: the root is clean`, settings('/dev/vda') === 'clean -1');
    expect(`boot ${at}: the data disk has its limit again`, settings('/dev/vdb') === `clean ${LIMIT}`);
  }
  // What came of the checks before stands behind that mark.
  const logs = fourth.split('== checks')[0] ?? '';
  expect('boot 4: nothing is checked', logs.includes(': clean,') && !logs.includes('check forced'));
  expect(
    'boot 4: nothing is left to settle',
    checksIn(fourth).every(({ stage }) => stage === 'checked'),
  );
  return mistakes;
}

function judgeXfs(consoles: readonly string[]): string[] {
  const mistakes: string[] = [];
  const expect = (what: string, is: boolean) => {
    if (!is) mistakes.push(what);
  };
  expect(`only ${consoles.length} boots ended`, consoles.length === 4);
  const [first = '', second = '', third = '', fourth = ''] = consoles;
  const words = /^BOOT_IMAGE=.* fsck\.mode=force fsck\.repair=yes(?: |$)/m;
  expect('boot 1: GRUB is told', first.includes('GRUB tells the kernel once'));
  expect('boot 1: nothing is asked for twice', count(first, 'was asked for before') === 1);
  for (const [at, text] of [
    [2, second],
    [3, third],
  ] as const) {
    expect(`boot ${at}: the kernel was told`, words.test(text));
    const check = checksIn(text).findLast(({ mountPoint }) => mountPoint === '/srv');
    expect(
      `boot ${at}: the data disk was checked`,
      check?.stage === 'checked' && check.method === 'command-line',
    );
    expect(`boot ${at}: GRUB is as it was`, check?.restored === true);
    expect(`boot ${at}: it was found sound`, /^(?:clean|recovered)$/.test(check?.result?.outcome ?? ''));
    expect(
      `boot ${at}: xfs_repair said so`,
      check?.said?.some((line) => line.startsWith('Phase 7')) === true,
    );
  }
  expect('boot 3: the log was dirty, and replayed', third.includes('Replaying log for /dev/vdb'));
  expect('boot 4: the kernel was told nothing', /^BOOT_IMAGE=/m.test(fourth) && !words.test(fourth));
  return mistakes;
}

function checksIn(text: string): Check[] {
  const json = /^== checks \d+\n(\{.*?\n\})\n== end$/ms.exec(text)?.[1];
  if (json === undefined) return [];
  return (JSON.parse(json) as { checks: { asked: Check[] } }).checks.asked;
}

function count(text: string, word: string): number {
  return text.split(word).length - 1;
}

process.exitCode = await main();
