/**
 * Whole machines in QEMU, for what only a boot shows. QEMU comes from a Debian root of its own, so that nothing is
 * installed on this host, and runs in there with its files; nothing of the host is shown to the guest.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from './chroot.ts';
import { type DebianRoot, debianRoot } from './roots.ts';

export interface Drive {
  /** A file in the machine's directory. */
  readonly file: string;
}

export interface BootOptions {
  /** What is started, a file in the machine's directory: default the kernel that takeKernel took. */
  readonly kernel?: { readonly file: string };
  /** Words for the kernel that was taken, beside those for its root and console. */
  readonly append: string;
  readonly drives: readonly Drive[];
  /** Milliseconds; a boot takes a minute where QEMU has to translate all of it, and many on a busy host. */
  readonly timeout: number;
}

export interface Booted {
  /** All that the serial console was sent. */
  readonly console: string;
  readonly timedOut: boolean;
  readonly seconds: number;
  /** What QEMU itself said. */
  readonly stderr: string;
}

/** A machine: a directory with QEMU in it, and what it is booted from. */
export interface Machine {
  readonly directory: string;
  /** Makes a disk with an ext4 filesystem that holds a directory's content. */
  install(root: string, file: string, size: string): void;
  /** Copies the kernel and the initramfs of a directory, for boots that need no boot loader. */
  takeKernel(root: string): void;
  /** Makes an empty disk with a filesystem by mke2fs or mkfs.xfs of this host. */
  format(program: readonly string[], file: string, bytes: number): void;
  /** Until the machine is off, or would start anew. */
  boot(options: BootOptions): Promise<Booted>;
  remove(): void;
}

/** @throws Error when QEMU's root cannot be made */
export async function machine(): Promise<Machine> {
  const root: DebianRoot = await debianRoot('bookworm', { include: ['qemu-system-x86'] });
  const { directory } = root;
  return {
    directory,
    takeKernel: (source) => {
      for (const [pattern, name] of [
        ['boot/vmlinuz-*', 'kernel'],
        ['boot/initrd.img-*', 'initramfs'],
      ] as const) {
        const found = globSync(pattern, { cwd: source })[0];
        if (found === undefined) throw new Error(`the guest has no ${pattern}`);
        copyFileSync(join(source, found), join(directory, name));
      }
    },
    install: (source, file, size) => {
      const image = join(directory, `${file}.part`);
      run('mke2fs', ['-q', '-t', 'ext4', '-L', 'rootfs', '-d', source, image, size]);
      renameSync(image, join(directory, file));
    },
    format: ([program = '', ...args], file, bytes) => {
      const image = join(directory, file);
      run('truncate', ['-s', String(bytes), image]);
      run(program, [...args, image]);
    },
    boot: (options) => boot(directory, options),
    remove: () => root.remove(),
  };
}

async function boot(directory: string, { kernel, append, drives, timeout }: BootOptions): Promise<Booted> {
  const started = performance.now();
  const ended = await inRoot(
    directory,
    [
      'qemu-system-x86_64',
      // Never KVM: where this host is a guest itself, it may be there and start nothing.
      ...['-machine', 'q35,accel=tcg', '-cpu', 'Nehalem', '-smp', '2', '-m', '1536', '-nic', 'none'],
      // Its console goes to a file, so that what a machine that hangs has said is not lost with it.
      ...['-display', 'none', '-monitor', 'none', '-serial', 'file:/console', '-no-reboot'],
      ...drives.flatMap(({ file }) => ['-drive', `file=/${file},if=virtio,format=raw,cache=writeback`]),
      ...(kernel === undefined
        ? [
            ...['-kernel', '/kernel', '-initrd', '/initramfs'],
            ...['-append', `root=/dev/vda ro console=ttyS0 ${append}`],
          ]
        : ['-kernel', `/${kernel.file}`]),
    ],
    { timeout },
  );
  return {
    console: readFileSync(join(directory, 'console'), 'utf8').replaceAll('\r', ''),
    timedOut: ended.timedOut,
    seconds: Math.round((performance.now() - started) / 1000),
    stderr: ended.stderr,
  };
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${status}\n${stderr}`);
}
