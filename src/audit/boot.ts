/**
 * Whether the system will start next time: the kernel that its boot loader takes, the initramfs, the indexes of the
 * modules, the loader's configuration. Most of it stands in no manifest. The other kernels that could be chosen are
 * looked at too, less closely. A root without a kernel (a container, most chroots) has nothing of this.
 */
import { lstatSync, readdirSync } from 'node:fs';
import type { Database } from '../dpkg/database.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding } from '../model/finding.ts';
import { examineStructure } from '../scan/structure.ts';
import { type Bytes, bufferOf, bytesOf, fsPath } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { examineInitramfs } from './boot/initramfs.ts';
import {
  type BootEntry,
  GRUB_CONFIG,
  GRUB_DIRECTORY,
  GRUB_ENVIRONMENT,
  type Loader,
  readLoaders,
} from './boot/loader.ts';
import { judgeModules } from './boot/modules.ts';
import { compareKernelVersions } from './boot/versions.ts';
import { type Draft, finding } from './finding.ts';
import { installedPackage } from './generated/packages.ts';

/** One kernel and its initramfs, as paths inside the root. */
interface Kernel {
  readonly version: Bytes | undefined;
  readonly image: Bytes;
  readonly initramfs: readonly Bytes[];
  /** What a loader names has to be there; what only a convention names need not. */
  readonly named: boolean;
  readonly next: boolean;
}

/** A kernel or an initramfs beyond this is not read. */
const LIMIT = 512 * 1024 * 1024;

/** What makes an initramfs, and where (update-initramfs(8), dracut(8)); the first that is installed did. */
export const INITRAMFS_GENERATORS = ['initramfs-tools', 'dracut'] as const;

const UNSYNCED = 'the program that writes it does not wait until it is on disk';
const NO_MARK = 'a cut leaves no such thing by itself';

/** Judges what the next start of the system needs. */
export async function judgeBoot(root: Root, database: Database): Promise<Finding[]> {
  const drafts: Draft[] = [];
  const loaders = readLoaders(root);
  judgeLoaders(root, loaders, drafts);
  const kernels = kernelsOf(root, database, loaders);
  const seen = new Set<Bytes>();
  for (const kernel of kernels) {
    judgeImage(root, kernel, loaders[0], drafts);
    for (const path of kernel.initramfs) {
      if (seen.has(path)) continue;
      seen.add(path);
      await judgeInitramfs(root, database, kernel, path, drafts);
    }
    if (kernel.version !== undefined) judgeModulesOf(root, database, kernel, kernel.version, drafts);
  }
  return drafts.map(finding);
}

/** The kernel that boots next, then the others, the newest first; those without an image are the loaders' to say. */
function kernelsOf(root: Root, database: Database, loaders: readonly Loader[]): Kernel[] {
  const installed = namesIn(root, '/boot')
    .filter((name) => /^vmlinu[zx]-./.test(name))
    .map((name) => ({ image: `/boot/${name}`, version: name.slice(name.indexOf('-') + 1) }))
    .sort((a, b) => compareKernelVersions(b.version, a.version));
  const own = loaders.flatMap(({ entries }) => entries.filter((entry) => entry.own));
  const chosen = loaders.find(({ next }) => next !== undefined)?.next;
  const kernels = new Map<Bytes, Kernel>();
  const add = (kernel: Kernel): void => {
    const known = kernels.get(kernel.image);
    if (known === undefined) kernels.set(kernel.image, kernel);
  };
  const ofEntry = (entry: BootEntry, next: boolean): Kernel => {
    const image = insidePath(root, entry.kernel);
    return {
      image,
      version: versionOf(image),
      initramfs: entry.initramfs.map((path) => insidePath(root, path)),
      named: true,
      next,
    };
  };
  if (chosen?.own === true) add(ofEntry(chosen, true));
  const linked = linkedFile(root, ['/vmlinuz', '/boot/vmlinuz']);
  const linkedInitramfs = linkedFile(root, ['/initrd.img', '/boot/initrd.img']);
  const preferred = installed.find(({ image }) => image === linked) ?? installed[0];
  for (const entry of own) add(ofEntry(entry, kernels.size === 0));
  const generator = generatorOf(database);
  for (const { image, version } of [preferred, ...installed]
    .filter((kernel) => kernel !== undefined)
    .filter(({ image }) => exists(root, image))) {
    const initramfs = `/boot/initrd.img-${version}`;
    add({
      image,
      version,
      initramfs: generator !== undefined || exists(root, initramfs) ? [initramfs] : [],
      // The link is made for an initramfs that is going to be made, which needs a program for it.
      named: generator !== undefined && linkedInitramfs === initramfs,
      next: kernels.size === 0,
    });
  }
  return [...kernels.values()];
}

/** Where one of the links leads that linux-update-symlinks(1) keeps; its end may be missing. */
function linkedFile(root: Root, links: readonly Bytes[]): Bytes | undefined {
  for (const link of links) {
    const found = root.resolveFully(link);
    if (found.kind === 'found' && found.inside !== link) return found.inside;
  }
  return undefined;
}

/** A loader's path begins at the top of the filesystem that it reads: /boot's own, or a subvolume of btrfs. */
function insidePath(root: Root, path: Bytes): Bytes {
  if (exists(root, path)) return path;
  const boot = `/boot${path}`;
  return exists(root, boot) ? boot : `/boot/${path.slice(path.lastIndexOf('/') + 1)}`;
}

function versionOf(image: Bytes): Bytes | undefined {
  return /\/vmlinu[zx]-([^/]+)$/.exec(image)?.[1];
}

/** The one that made the initramfs, as dpkg prints its name; nothing while it is not configured. */
function generatorOf(database: Database): { name: Bytes; version: Bytes } | undefined {
  for (const name of INITRAMFS_GENERATORS) {
    const found = installedPackage(database, name);
    if (found !== undefined) return { name, version: found.version };
  }
  return undefined;
}

/** How bad it is: what the next start needs, or what could be chosen in its place. */
function severityOf(kernel: Kernel): 'critical' | 'error' {
  return kernel.next ? 'critical' : 'error';
}

function which(kernel: Kernel): string {
  return kernel.next ? 'the system boots from next' : 'can be booted';
}

function judgeImage(root: Root, kernel: Kernel, loader: Loader | undefined, drafts: Draft[]): void {
  const outcome = readInside(root, kernel.image);
  const base = { severity: severityOf(kernel), path: kernel.image, knownBy: 'boot' as const };
  if (outcome.kind === 'missing') {
    drafts.push({
      ...base,
      code: 'boot-kernel-missing',
      message: `the kernel that ${loader?.path ?? 'a link'} names is not there`,
      likelyOutage: true,
      reason: 'the configuration is written after a kernel is unpacked and before one is removed',
    });
  }
  if (outcome.kind !== 'read') return;
  const what = imageDamage(outcome.data);
  if (what === undefined) return;
  drafts.push({
    ...base,
    code: 'boot-kernel-damaged',
    message: `the kernel that ${which(kernel)} ${what}`,
    likelyOutage: true,
    reason: 'its own format says that it is not whole',
  });
}

function imageDamage(data: Bytes): string | undefined {
  if (data === '') return 'is empty';
  if (/^\0+$/.test(data)) return 'consists of NUL bytes';
  const bytes = bufferOf(data);
  const structure = examineStructure(bytes.length, (offset, length) =>
    bytes.subarray(offset, offset + length),
  );
  return structure.kind === 'truncated' ? `is cut off (${structure.format}: ${structure.detail})` : undefined;
}

async function judgeInitramfs(
  root: Root,
  database: Database,
  kernel: Kernel,
  path: Bytes,
  drafts: Draft[],
): Promise<void> {
  const conventional = kernel.version !== undefined && path === `/boot/initrd.img-${kernel.version}`;
  const generator = conventional ? generatorOf(database) : undefined;
  const base = {
    severity: severityOf(kernel),
    package: generator?.name,
    version: generator?.version,
    path,
    knownBy: 'boot' as const,
    likelyOutage: true,
  };
  const found = root.resolve(path);
  if (found.kind === 'unreachable') return;
  const stat = lstatSync(fsPath(found.host), { throwIfNoEntry: false });
  if (stat === undefined) {
    // Without a loader an administrator's INITRD=No (kernel-img.conf) may be the reason.
    if (!kernel.named) return;
    drafts.push({
      ...base,
      code: 'boot-initramfs-missing',
      message: `the initramfs of the kernel that ${which(kernel)} is not there, and the boot loader or a link names it`,
      reason:
        'it is made after the kernel is unpacked, and is renamed into place without a sync of the directory',
    });
    return;
  }
  if (!stat.isFile()) return;
  const verdict = kernel.next ? await examineInitramfs(found.host) : briefly(found.host);
  if (verdict.kind !== 'damaged') return;
  drafts.push({
    ...base,
    code: 'boot-initramfs-damaged',
    message: `the initramfs of the kernel that ${which(kernel)} ${verdict.what}`,
    reason: 'it was read as the kernel reads it, and does not come to its end',
  });
}

/** For what is not booted next: without decompressing it. */
function briefly(host: Bytes): { kind: 'damaged'; what: string } | { kind: 'unknown' } {
  const outcome = readRegularFile(host, LIMIT);
  const what = outcome.kind === 'read' ? imageDamage(outcome.data) : undefined;
  return what === undefined ? { kind: 'unknown' } : { kind: 'damaged', what };
}

function judgeModulesOf(
  root: Root,
  database: Database,
  kernel: Kernel,
  version: Bytes,
  drafts: Draft[],
): void {
  const kmod = installedPackage(database, 'kmod');
  for (const { kind, path, what } of judgeModules(root, version)) {
    drafts.push({
      code: kind === 'missing' ? 'boot-modules-missing' : 'boot-modules-damaged',
      severity: severityOf(kernel),
      package: kmod?.name,
      version: kmod?.version,
      path,
      message: `a file about the modules of the kernel that ${which(kernel)} ${what}`,
      knownBy: 'boot',
      likelyOutage: true,
      reason: 'depmod syncs nothing that it writes',
    });
  }
}

function judgeLoaders(root: Root, loaders: readonly Loader[], drafts: Draft[]): void {
  const loaderDraft: Say = (path, message, severity, code = 'boot-loader-damaged') => {
    drafts.push({ code, severity, path, message, knownBy: 'boot', likelyOutage: true, reason: UNSYNCED });
  };
  for (const { path, damage } of loaders) {
    if (damage !== undefined) loaderDraft(path, `the boot loader’s configuration ${damage}`, 'critical');
  }
  for (const { path, entries, next } of loaders) judgeNames(root, path, entries, next, drafts);
  judgeGrubFiles(root, loaderDraft);
  judgeEfiPrograms(root, loaderDraft);
}

/** What entries other than the next one name; that one's files are judged by themselves. */
function judgeNames(
  root: Root,
  path: Bytes,
  entries: readonly BootEntry[],
  next: BootEntry | undefined,
  drafts: Draft[],
): void {
  const ofNext = new Set(next === undefined ? [] : [next.kernel, ...next.initramfs]);
  const lost = entries
    .filter((entry) => entry.own)
    .flatMap((entry) => [entry.kernel, ...entry.initramfs])
    .filter((name) => !ofNext.has(name) && !exists(root, insidePath(root, name)));
  const [first] = lost;
  if (first === undefined) return;
  drafts.push({
    code: 'boot-loader-stale',
    severity: 'warning',
    path,
    message: `the boot loader’s configuration names files that are not there (${[...new Set(lost)].join(', ')})`,
    knownBy: 'boot',
    likelyOutage: false,
    reason: NO_MARK,
  });
}

type Say = (path: Bytes, message: string, severity: Draft['severity'], code?: FindingCode) => void;

/** grub-install copies these below /boot, where no manifest knows them (util/grub-install-common.c). */
function judgeGrubFiles(root: Root, say: Say): void {
  const platforms = namesIn(root, GRUB_DIRECTORY).filter((name) => /^[a-z0-9_]+-[a-z0-9_]+$/.test(name));
  let installed = false;
  for (const platform of platforms) {
    const directory = `${GRUB_DIRECTORY}/${platform}`;
    for (const name of namesIn(root, directory).filter((entry) => /\.(?:mod|lst|img|efi)$/.test(entry))) {
      installed = true;
      const what = wholeFileDamage(root, `${directory}/${name}`, MAY_BE_EMPTY.has(name));
      if (what !== undefined) {
        say(
          `${directory}/${name}`,
          `a part of the boot loader ${what}; grub-install puts it there anew`,
          'critical',
        );
      }
    }
  }
  if (installed && readInside(root, GRUB_CONFIG).kind === 'missing') {
    say(GRUB_CONFIG, 'the boot loader has no configuration', 'critical', 'boot-loader-missing');
  }
  const environment = readInside(root, GRUB_ENVIRONMENT);
  // 1024 bytes, of which GRUB itself writes some: it neither makes the file larger nor reads one of another kind
  // (include/grub/lib/envblk.h).
  if (
    environment.kind === 'read' &&
    (!environment.data.startsWith('# GRUB Environment Block\n') || environment.data.length !== 1024)
  ) {
    say(GRUB_ENVIRONMENT, 'the boot loader’s saved variables are damaged', 'error');
  }
}

/** Lists of modules that do one thing may have none. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set(['video.lst', 'parttool.lst', 'terminal.lst']);

/** The EFI system partition has no journal, and what lies on it no manifest. */
function judgeEfiPrograms(root: Root, say: Say): void {
  const top = '/boot/efi/EFI';
  for (const vendor of namesIn(root, top)) {
    for (const name of namesIn(root, `${top}/${vendor}`)) {
      const path = `${top}/${vendor}/${name}`;
      const configuration = name === 'grub.cfg';
      if (!configuration && !/\.efi$/i.test(name)) continue;
      const what = wholeFileDamage(root, path, false);
      if (what !== undefined)
        say(path, `a part of the boot loader ${what}; grub-install puts it there anew`, 'critical');
    }
  }
}

function wholeFileDamage(root: Root, path: Bytes, mayBeEmpty: boolean): string | undefined {
  const outcome = readInside(root, path);
  if (outcome.kind !== 'read' || (outcome.data === '' && mayBeEmpty)) return undefined;
  return imageDamage(outcome.data);
}

function readInside(root: Root, path: Bytes): ReturnType<typeof readRegularFile> {
  const found = root.resolve(path);
  if (found.kind === 'unreachable') {
    return found.errno === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', errno: found.errno };
  }
  return readRegularFile(found.host, LIMIT);
}

function exists(root: Root, path: Bytes): boolean {
  const found = root.resolve(path);
  if (found.kind === 'unreachable') return false;
  try {
    return lstatSync(fsPath(found.host), { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}

function namesIn(root: Root, directory: Bytes): Bytes[] {
  const found = root.resolveDirectory(directory);
  if (found.kind === 'unreachable') return [];
  try {
    return readdirSync(fsPath(found.host), { encoding: 'buffer' }).map(bytesOf).sort();
  } catch {
    return [];
  }
}
