/**
 * Boots a real Debian with debmend's units in QEMU, as root, and shows what systemd makes of them: a first boot that ends
 * by a power cut, a second that finds it and ends in an orderly way, a third that finds nothing. Without KVM a boot takes
 * about a minute. QEMU comes from a root of its own, so that nothing is installed on this host.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installUnits } from '../src/services/install.ts';
import { Root } from '../src/system/root.ts';
import { inRoot, installDebmend } from '../test/lab/chroot.ts';
import { type Machine, machine } from '../test/lab/qemu.ts';
import { type DebianSuite, debianRoot } from '../test/lab/roots.ts';

const USAGE = `usage: node scripts/boot.ts [--suite bookworm|trixie] [--hold SECONDS]

  --hold   a recovery that takes so long stands in for the real one: what of the boot waits for it?`;

/** What a server has and a minimal root has not; unattended-upgrades and sshd for the order of the units. */
const PACKAGES = [
  'systemd',
  'systemd-sysv',
  'udev',
  'dbus',
  'libatomic1',
  'libstdc++6',
  'linux-image-cloud-amd64',
  'unattended-upgrades',
  'openssh-server',
];
const BOOT_TIMEOUT_MS = 30 * 60 * 1000;
const DISK_SIZE = '3G';

/** Runs in the guest when nothing of the boot is left to do; what it prints goes to the serial console. */
const LAB = `#!/bin/sh
exec >/dev/ttyS0 2>&1
show() { echo; echo "# $*"; "$@"; }
boot=$(($(cat /lab/boots 2>/dev/null || echo 0) + 1))
echo "$boot" >/lab/boots
echo "== boot $boot"
: before the end of the boot: who waits for the recovery
show systemctl list-jobs
systemctl start --no-block apt-daily.service dpkg-db-backup.service
sleep 1
show systemctl list-jobs
show systemctl is-active multi-user.target ssh.service debmend-recover.service
timeout 900 systemctl is-system-running --wait || show systemctl list-jobs
show ps -eo pid,cls,ni,stat,time,wchan:20,args --sort=-time
show systemctl --no-pager --full list-units --all 'debmend*'
show systemctl --no-pager list-timers --all 'debmend*'
show systemd-analyze time
show systemd-analyze --no-pager critical-chain
show systemd-analyze --no-pager critical-chain debmend-recover.service
systemd-analyze --no-pager blame | grep -E 'debmend|ssh|apt'
for unit in sysinit.target multi-user.target ssh.service debmend-marker.service debmend-recover.service debmend-watch.service apt-daily.service dpkg-db-backup.service; do
  systemctl show "$unit" -p Id,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic,Result | tr '\\n' ' '; echo
done
show journalctl --no-pager -b -o short-monotonic -u 'debmend*'
journalctl --no-pager -b | grep -iE 'ordering cycle|found dependency'
show cat /var/lib/debmend/running
show cat /var/lib/debmend/unclean-ends
show ls -la /var/lib/debmend
show systemd-analyze verify /etc/systemd/system/debmend-*
case $boot in
  1)
    echo "== the power goes"
    echo b >/proc/sysrq-trigger
    ;;
  2)
    echo "== the audit as its timer runs it"
    time -p systemctl start debmend-audit.service
    show systemctl --no-pager status debmend-audit.service
    ls -la /var/lib/debmend/reports; head -c 2000 /var/lib/debmend/reports/audit.json
    grep -c . /var/lib/debmend/reports/audit.json
    grep -A12 '"findings"' /var/lib/debmend/reports/audit.json | head -60
    grep -A12 '"summary"' /var/lib/debmend/reports/audit.json
    echo "== the timer of the retry, made fast"
    mkdir -p /run/systemd/system/debmend-retry.timer.d
    printf '[Timer]\\nOnBootSec=\\nOnUnitInactiveSec=\\nRandomizedDelaySec=0\\nAccuracySec=1s\\nOnBootSec=1s\\nOnUnitInactiveSec=5s\\n' >/run/systemd/system/debmend-retry.timer.d/fast.conf
    systemctl daemon-reload; systemctl restart debmend-retry.timer; sleep 12
    show systemctl --no-pager status debmend-retry.service debmend-retry.timer
    touch /var/lib/debmend/retry; sleep 10
    show systemctl --no-pager status debmend-retry.service
    rm -f /var/lib/debmend/retry
    echo "== what the watch can see and keep"
    cp /lab/lab.deb /root/lab.deb && cd /root && dpkg -i ./lab.deb; sleep 8
    debmend transaction list
    show debmend transaction show latest
    show journalctl --no-pager -b -o cat -u debmend-watch
    echo "== removed and installed on the running system"
    show debmend services remove
    show systemctl --no-pager list-units --all 'debmend*'
    show cat /var/lib/debmend/running
    show debmend services install
    show debmend services status
    show systemctl --no-pager list-units --all 'debmend*'
    show cat /var/lib/debmend/running
    sync
    systemctl poweroff
    ;;
  *) systemctl poweroff ;;
esac
`;

const LAB_UNIT = `[Unit]
Description=What the units made of this boot
After=ssh.service
[Service]
Type=simple
ExecStart=/lab/lab
[Install]
WantedBy=multi-user.target
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { suite: { type: 'string', default: 'bookworm' }, hold: { type: 'string' } },
  });
  const hold = Number(values.hold ?? 0);
  if (!/^(?:bookworm|trixie)$/.test(values.suite) || !Number.isInteger(hold) || hold < 0) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const guest = await machine();
  try {
    await install(guest, values.suite as DebianSuite, hold);
    for (let boot = 1; boot <= 3; boot += 1) {
      const { console, timedOut, seconds, stderr } = await guest.boot({
        append: 'quiet systemd.show_status=no',
        drives: [{ file: 'disk' }],
        timeout: BOOT_TIMEOUT_MS,
      });
      process.stdout.write(console);
      process.stdout.write(`\n== ${timedOut ? 'did not end' : 'ended'} after ${seconds} s\n${stderr}`);
    }
    return 0;
  } finally {
    guest.remove();
  }
}

/** Makes disk, kernel and initramfs of the machine. */
async function install(guest: Machine, suite: DebianSuite, hold: number): Promise<void> {
  const root = await debianRoot(suite, { include: PACKAGES });
  try {
    await installDebmend(root.directory);
    installUnits(new Root(root.directory), '/usr/lib/debmend');
    const put = (path: string, text: string, mode = 0o644) => {
      mkdirSync(join(root.directory, path, '..'), { recursive: true });
      writeFileSync(join(root.directory, path), text, { mode });
    };
    put('etc/fstab', '/dev/vda / ext4 errors=remount-ro 0 1\n');
    put('lab/lab', LAB, 0o755);
    put('etc/systemd/system/lab.service', LAB_UNIT);
    mkdirSync(join(root.directory, 'var/log/journal'), { recursive: true });
    const ssh = ['ln', '-s', '../lab.service', '/etc/systemd/system/multi-user.target.wants/lab.service'];
    await must(root.directory, ssh);
    await must(root.directory, ['sh', '-c', MAKE_PACKAGE]);
    if (hold > 0) {
      put(
        'etc/systemd/system/debmend-recover.service.d/hold.conf',
        `[Service]\nExecStart=\nExecStart=/bin/sleep ${hold}\n`,
      );
    }
    guest.takeKernel(root.directory);
    guest.install(root.directory, 'disk', DISK_SIZE);
  } finally {
    root.remove();
  }
}

/** A package to install while the watch looks. */
const MAKE_PACKAGE = `
set -e
mkdir -p /lab/package/DEBIAN /lab/package/usr/share/lab
echo lab >/lab/package/usr/share/lab/file
printf 'Package: lab\\nVersion: 1\\nArchitecture: all\\nMaintainer: lab <lab@localhost>\\nDescription: lab\\n' >/lab/package/DEBIAN/control
dpkg-deb --root-owner-group --build /lab/package /lab/lab.deb
rm -r /lab/package`;

async function must(directory: string, command: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await inRoot(directory, command);
  if (code !== 0) throw new Error(`${command.join(' ')}: ${code}\n${stdout}${stderr}`);
}

process.exitCode = await main();
