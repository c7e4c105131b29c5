/** What the next start needs, on a real filesystem with a real boot loader's configuration: damaged, found, mended. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readLoaders } from '../../src/audit/boot/loader.ts';
import { judgeBoot } from '../../src/audit/boot.ts';
import { readDatabase } from '../../src/dpkg/database.ts';
import type { Finding } from '../../src/model/finding.ts';
import { regeneration } from '../../src/recovery/regenerate.ts';
import { Root } from '../../src/system/root.ts';
import { mustInRoot } from '../lab/chroot.ts';
import { type Disk, throwawayDisk } from '../lab/disk.ts';
import { LONG_SUITES, rootDescribe } from '../lab/roots.ts';
import { GENERATING } from '../recovery/regenerate-lab.ts';

const BUILD_MS = 20 * 60 * 1000;

for (const suite of LONG_SUITES) {
  rootDescribe(`the next start of ${suite}`, () => {
    let disk: Disk;
    let version: string;
    const host = (path: string): string => join(disk.directory, path);

    beforeAll(async () => {
      disk = throwawayDisk({ type: 'ext4' });
      await disk.fill(suite, GENERATING);
      version = readdirSync(host('/lib/modules'))[0] ?? '';
      // grub-probe wants the device that the root lies on, and takes a loop device for the file below it.
      must('cp', '--archive', disk.device, host(disk.device));
      mkdirSync(host(dirname(disk.image)), { recursive: true });
      symlinkSync(disk.device, host(disk.image));
      // 10_linux writes no entries for a system on a loop device of a file; its losetup says that this is none.
      writeFileSync(host('/usr/local/sbin/losetup'), '#!/bin/sh\necho "$1: [] ($1)"\n', { mode: 0o755 });
      await mustInRoot(disk.directory, [
        ...['grub-install', '--target=i386-pc', '--grub-setup=/bin/true', '--force', disk.device],
      ]);
      await mustInRoot(disk.directory, ['grub-mkconfig', '-o', '/boot/grub/grub.cfg']);
    }, BUILD_MS);
    afterAll(() => disk?.remove());

    const judge = (): Promise<Finding[]> => {
      const view = new Root(disk.directory);
      return judgeBoot(view, readDatabase(view));
    };
    const lines = async (): Promise<string[]> =>
      (await judge()).map(({ severity, code, path = '-' }) => `${severity} ${code} ${path}`);

    /** Does what the regeneration of each finding says, each command once. */
    async function regenerate(findings: readonly Finding[]): Promise<void> {
      const commands = new Map<string, readonly string[]>();
      for (const finding of findings) {
        const made = regeneration(finding);
        if (made === undefined) throw new Error(`nothing makes ${finding.path}`);
        for (const path of made.before.quarantine) {
          if (existsSync(host(path))) renameSync(host(path), join(disk.directory, 'tmp', basename(path)));
        }
        commands.set(JSON.stringify(made), [made.program, ...made.args]);
      }
      for (const command of commands.values()) await mustInRoot(disk.directory, command);
    }

    /** Damages a file in each way; it is found by one code, made again, and found no more. */
    async function mends(
      path: string,
      code: string,
      ways: readonly ((content: Buffer) => Buffer)[],
    ): Promise<Buffer> {
      const before = readFileSync(host(path));
      for (const way of ways) {
        writeFileSync(host(path), way(before));
        const findings = await judge();
        expect(findings.map((finding) => [finding.severity, finding.code, finding.path])).toEqual([
          ['critical', code, path],
        ]);
        await regenerate(findings);
        expect(await lines()).toEqual([]);
      }
      return before;
    }

    const empty = (): Buffer => Buffer.alloc(0);
    const nul = (content: Buffer): Buffer => Buffer.alloc(content.length);
    const half = (content: Buffer): Buffer => content.subarray(0, Math.floor(content.length / 2));
    const nulTail = (content: Buffer): Buffer => Buffer.from(content).fill(0, Math.floor(content.length / 2));

    it('is sound, and has entries', async () => {
      expect(await lines()).toEqual([]);
      expect(readLoaders(new Root(disk.directory)).map(({ next }) => next)).toEqual([
        { kernel: `/boot/vmlinuz-${version}`, initramfs: [`/boot/initrd.img-${version}`], own: true },
      ]);
    });

    it('fails with an initramfs that is not whole', async () => {
      const path = `/boot/initrd.img-${version}`;
      await mends(path, 'boot-initramfs-damaged', [empty, nulTail]);
      const whole = readFileSync(host(path));
      // Wherever it is cut, from its first byte to its last.
      for (const part of [1 / 100_000, 0.1, 0.3, 0.6, 0.9, 0.999, 0.9999]) {
        writeFileSync(host(path), whole.subarray(0, Math.floor(whole.length * part)));
        expect(await lines()).toEqual([`critical boot-initramfs-damaged ${path}`]);
      }
      writeFileSync(host(path), whole.subarray(0, -1));
      expect(await lines()).toEqual([`critical boot-initramfs-damaged ${path}`]);
      writeFileSync(host(path), whole);
      expect(await lines()).toEqual([]);
    });

    it('fails with an initramfs that is gone', async () => {
      const path = `/boot/initrd.img-${version}`;
      rmSync(host(path));
      const findings = await judge();
      expect(findings.map(({ code }) => code)).toEqual(['boot-initramfs-missing']);
      await regenerate(findings);
      expect(await lines()).toEqual([]);
    });

    it.each(['gzip', 'xz'])('reads an initramfs of %s', async (format) => {
      const path = `/boot/initrd.img-${version}`;
      const before = readFileSync(host(path));
      // Behind an archive of its own, as that for microcode is.
      const archive = spawnSync('zstd', ['-dcq'], {
        input: compressedPart(before),
        maxBuffer: 2 ** 30,
      }).stdout;
      const args =
        format === 'lz4' ? ['-l', '-c'] : ['-1', '-c', ...(format === 'xz' ? ['--check=crc32'] : [])];
      const packed = spawnSync(format, args, { input: archive, maxBuffer: 2 ** 30 }).stdout;
      const early = newc([['kernel/x86/microcode/none.bin', 'none']]);
      const whole = Buffer.concat([early, Buffer.alloc(512 - (early.length % 512)), packed]);
      writeFileSync(host(path), whole);
      expect(await lines()).toEqual([]);
      writeFileSync(host(path), whole.subarray(0, Math.floor(whole.length * 0.8)));
      expect(await lines()).toEqual([`critical boot-initramfs-damaged ${path}`]);
      writeFileSync(host(path), whole.subarray(0, early.length - 40));
      expect(await lines()).toEqual([`critical boot-initramfs-damaged ${path}`]);
      writeFileSync(host(path), before);
      expect(await lines()).toEqual([]);
    });

    it('fails with a kernel that is cut', async () => {
      const path = `/boot/vmlinuz-${version}`;
      const before = readFileSync(host(path));
      for (const way of [empty, nul, half]) {
        writeFileSync(host(path), way(before));
        expect(await lines()).toEqual([`critical boot-kernel-damaged ${path}`]);
        expect((await judge()).map(regeneration)).toEqual([undefined]);
      }
      writeFileSync(host(path), before);
      expect(await lines()).toEqual([]);
    });

    it('fails with indexes of modules that are not whole', async () => {
      const names = [
        'modules.dep',
        'modules.dep.bin',
        'modules.alias.bin',
        'modules.symbols',
        'modules.builtin.bin',
      ];
      for (const name of names) {
        const path = `/lib/modules/${version}/${name}`;
        const before = await mends(path, 'boot-modules-damaged', [empty, nulTail]);
        expect(readFileSync(host(path)).equals(before)).toBe(true);
      }
    });

    it('fails with an index that knows other modules than there are', async () => {
      const path = `/lib/modules/${version}/modules.dep`;
      const text = readFileSync(host(path), 'latin1').split('\n');
      writeFileSync(host(path), `${text.slice(0, 10).join('\n')}\n`, 'latin1');
      expect(await lines()).toContain(`critical boot-modules-damaged ${path}`);
      rmSync(host(`${path}.bin`));
      const findings = await judge();
      expect(findings.map(({ code }) => code).sort()).toEqual([
        'boot-modules-damaged',
        'boot-modules-missing',
      ]);
      await regenerate(findings);
      expect(await lines()).toEqual([]);
      expect(readFileSync(host(path), 'latin1').split('\n')).toEqual(text);
    });

    it('fails with a configuration of GRUB that is not whole', async () => {
      const path = '/boot/grub/grub.cfg';
      const before = await mends(path, 'boot-loader-damaged', [empty, nul, half, nulTail]);
      expect(readFileSync(host(path)).equals(before)).toBe(true);
      rmSync(host(path));
      const findings = await judge();
      expect(findings.map(({ severity, code }) => [severity, code])).toEqual([
        ['critical', 'boot-loader-missing'],
      ]);
      await regenerate(findings);
      expect(readFileSync(host(path)).equals(before)).toBe(true);
    });

    it('fails with a part of GRUB that is empty, which only a person can install', async () => {
      const path = '/boot/grub/i386-pc/normal.mod';
      const before = readFileSync(host(path));
      writeFileSync(host(path), '');
      expect(await lines()).toEqual([`critical boot-loader-damaged ${path}`]);
      expect((await judge()).map(regeneration)).toEqual([undefined]);
      writeFileSync(host(path), before);
      expect(await lines()).toEqual([]);
    });

    it('takes the entry that GRUB takes, and looks closest at that', async () => {
      const other = '0.1.0-old';
      const configuration = readFileSync(host('/boot/grub/grub.cfg'));
      const kernel = readFileSync(host(`/boot/vmlinuz-${version}`));
      const initramfs = readFileSync(host(`/boot/initrd.img-${version}`));
      writeFileSync(host(`/boot/vmlinuz-${other}`), kernel);
      writeFileSync(host(`/boot/initrd.img-${other}`), initramfs);
      await mustInRoot(disk.directory, ['grub-mkconfig', '-o', '/boot/grub/grub.cfg']);
      expect(await lines()).toEqual([]);
      writeFileSync(host(`/boot/vmlinuz-${other}`), '');
      expect(await lines()).toEqual([`error boot-kernel-damaged /boot/vmlinuz-${other}`]);
      // With grub-reboot that is the next one.
      const text = readFileSync(host('/boot/grub/grub.cfg'), 'latin1');
      const id = /'(gnulinux-0\.1\.0-old-advanced-[^']+)'/.exec(text)?.[1] ?? '';
      const menu = /submenu .*'(gnulinux-advanced-[^']+)'/.exec(text)?.[1] ?? '';
      await mustInRoot(disk.directory, ['grub-editenv', '/boot/grub/grubenv', 'create']);
      await mustInRoot(disk.directory, [
        'grub-editenv',
        '/boot/grub/grubenv',
        'set',
        `next_entry=${menu}>${id}`,
      ]);
      expect(await lines()).toEqual([`critical boot-kernel-damaged /boot/vmlinuz-${other}`]);
      await mustInRoot(disk.directory, ['grub-editenv', '/boot/grub/grubenv', 'unset', 'next_entry']);
      // Gone, it is still in the configuration.
      rmSync(host(`/boot/vmlinuz-${other}`));
      rmSync(host(`/boot/initrd.img-${other}`));
      const stale = await judge();
      expect(stale.map(({ code }) => code)).toContain('boot-loader-stale');
      await regenerate(stale.filter(({ code }) => code === 'boot-loader-stale'));
      expect(await lines()).toEqual([]);
      expect(readFileSync(host('/boot/grub/grub.cfg')).equals(configuration)).toBe(true);
    });

    it('has no finding for an environment block that is whole, and one for another', async () => {
      const path = '/boot/grub/grubenv';
      await mustInRoot(disk.directory, ['grub-editenv', path, 'create']);
      expect(await lines()).toEqual([]);
      writeFileSync(host(path), '');
      const findings = await judge();
      expect(findings.map(({ severity, code }) => [severity, code])).toEqual([
        ['error', 'boot-loader-damaged'],
      ]);
      await regenerate(findings);
      expect(await lines()).toEqual([]);
    });

    it('I7: reads no file that a planted link leads to outside', async () => {
      const path = `/boot/initrd.img-${version}`;
      renameSync(host(path), host('/boot/kept'));
      symlinkSync('/etc/passwd', host(path));
      expect(await lines()).toEqual([]);
      rmSync(host(path));
      renameSync(host('/boot/kept'), host(path));
    });
  });
}

function must(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}

/** From the first compressed frame on. */
function compressedPart(initramfs: Buffer): Buffer {
  return initramfs.subarray(initramfs.indexOf(Buffer.from('28b52ffd', 'hex')));
}

/** An archive as cpio(5) has it, newc. */
function newc(files: readonly (readonly [name: string, content: string])[]): Buffer {
  const member = (name: string, content: string): Buffer => {
    const fields = [0, 0o100644, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
    const pad = (text: string): string => text + '\0'.repeat((4 - (text.length % 4)) % 4);
    return Buffer.from(pad(header) + pad(content), 'latin1');
  };
  return Buffer.concat(
    [...files, ['TRAILER!!!', ''] as const].map(([name, content]) => member(name, content)),
  );
}
