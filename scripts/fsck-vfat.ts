/**
 * `debmend fsck status` on vfat, which needs a kernel that has it: a whole machine in QEMU mounts one that is sound and
 * three that are damaged, reads their files as a boot loader's installation would, and says how they are.
 *
 * Exit code 0: the sound one is called sound, and each of the others is found.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reportSchema } from '../src/model/report.ts';
import { firstCluster, lab, setFat, vfatImage } from '../test/fsck/run-lab.ts';
import { installDebmend, mustInRoot } from '../test/lab/chroot.ts';
import { machine } from '../test/lab/qemu.ts';
import { debianRoot } from '../test/lab/roots.ts';

const PACKAGES = ['systemd', 'systemd-sysv', 'udev', 'libatomic1', 'libstdc++6', 'linux-image-cloud-amd64'];
const LIMIT_MS = 15 * 60_000;
/** The disks in the order of their devices; a cluster has 512 bytes, so a file of this size has some 200. */
const FILES = { '/EFI/debian/shimx64.efi': Buffer.alloc(100_000, 'a boot loader') };
const [SHIM = ''] = Object.keys(FILES);

const DAMAGES: Readonly<Record<string, (image: string) => void>> = {
  sound: () => {},
  // The chain of the file's clusters leads to a free one, out of the filesystem, or ends too early. One that leads back
  // to itself is read without a word by the kernel: fsck run finds it.
  free: (image) => setFat(image, { [firstCluster(image, SHIM) + 4]: 0 }),
  outside: (image) => setFat(image, { [firstCluster(image, SHIM) + 4]: 0x0ffffff0 }),
  short: (image) => setFat(image, { [firstCluster(image, SHIM) + 4]: 0x0fffffff }),
};

const LAB = `#!/bin/sh
exec >/dev/ttyS0 2>&1
at=b
for name in ${Object.keys(DAMAGES).join(' ')}; do
  mkdir -p /boot/$name
  mount -t vfat /dev/vd$at /boot/$name
  dd if=/boot/$name${SHIM} of=/dev/null bs=4k 2>&1 | tail -1
  at=$(echo $at | tr b-y c-z)
done
dmesg | grep -i fat-fs
debmend fsck status --all
echo "== status"
debmend fsck status --all --json
echo "== end"
systemctl poweroff
`;

const LAB_UNIT = `[Unit]
Description=What fsck status says of vfat
After=local-fs.target
[Service]
Type=simple
ExecStart=/lab/lab
[Install]
WantedBy=multi-user.target
`;

async function main(): Promise<number> {
  const guest = await machine();
  const images = lab();
  try {
    const root = await debianRoot('bookworm', { include: PACKAGES });
    try {
      const { directory } = root;
      const put = (path: string, text: string, mode = 0o644) => {
        mkdirSync(join(directory, path, '..'), { recursive: true });
        writeFileSync(join(directory, path), text, { mode });
      };
      put('etc/fstab', '/dev/vda / ext4 errors=remount-ro 0 1\n');
      await installDebmend(directory);
      put('lab/lab', LAB, 0o755);
      put('etc/systemd/system/lab.service', LAB_UNIT);
      // It would hang up the console that the report goes to.
      const getty = '/etc/systemd/system/serial-getty@ttyS0.service';
      await mustInRoot(directory, ['ln', '-s', '/dev/null', getty]);
      const link = '/etc/systemd/system/multi-user.target.wants/lab.service';
      await mustInRoot(directory, ['ln', '-s', '../lab.service', link]);
      guest.takeKernel(directory);
      guest.install(directory, 'disk', '3G');
    } finally {
      root.remove();
    }
    const image = vfatImage(images, FILES);
    for (const [name, damage] of Object.entries(DAMAGES)) {
      const disk = join(guest.directory, name);
      copyFileSync(image, disk);
      damage(disk);
    }
    const { console, timedOut, seconds, stderr } = await guest.boot({
      append: 'systemd.show_status=no',
      drives: ['disk', ...Object.keys(DAMAGES)].map((file) => ({ file })),
      timeout: LIMIT_MS,
    });
    process.stdout.write(
      `${console}\n== ${timedOut ? 'did not end' : 'ended'} after ${seconds} s\n${stderr}`,
    );
    const mistakes = judge(console);
    for (const mistake of mistakes) process.stdout.write(`WRONG: ${mistake}\n`);
    return mistakes.length === 0 ? 0 : 1;
  } finally {
    images.remove();
    guest.remove();
  }
}

function judge(console: string): string[] {
  const json = /^== status\n(\{.*?\n\})\n== end$/ms.exec(console)?.[1];
  if (json === undefined) return ['no report was printed'];
  const { filesystems = [], findings } = reportSchema.parse(JSON.parse(json));
  return Object.keys(DAMAGES).flatMap((name) => {
    const mountPoint = `/boot/${name}`;
    if (!filesystems.some(({ mountPoint: at, type }) => at === mountPoint && type === 'vfat'))
      return [`${mountPoint} is not among the filesystems`];
    const codes = findings
      .filter(({ path, severity }) => path === mountPoint && severity !== 'info')
      .map(({ code }) => code);
    process.stdout.write(`${mountPoint}: ${codes.join(', ') || 'sound'}\n`);
    return (codes.length === 0) === (name === 'sound')
      ? []
      : [`${mountPoint}: ${codes.join(', ') || 'nothing found'}`];
  });
}

process.exitCode = await main();
