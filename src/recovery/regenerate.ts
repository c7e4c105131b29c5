/** How what a finding calls damaged is made again: by the program of its package, inside the root. Pure. */

import { GRUB_CONFIG, GRUB_ENVIRONMENT } from '../audit/boot/loader.ts';
import { INITRAMFS_GENERATORS } from '../audit/boot.ts';
import { compileAgain } from '../audit/generated/bytecode.ts';
import { type Command, GENERATED } from '../audit/generated/table.ts';
import type { Finding } from '../model/finding.ts';
import { textToPath } from '../model/path-text.ts';
import { globPattern } from '../scan/glob-pattern.ts';
import type { Bytes } from '../system/bytes.ts';

export interface Regeneration {
  /** Found by PATH inside the root, or absolute there. */
  readonly program: Bytes;
  readonly args: readonly Bytes[];
  /** What is moved aside first: programs keep what is there, or take it for an administrator's. */
  readonly before: { readonly quarantine: readonly Bytes[] };
  /** Which judgement has to find nothing afterwards (I11). */
  readonly verify: 'generated' | 'boot';
}

/**
 * What makes a finding's file again; undefined for a finding of another kind, and for what no program makes: a kernel
 * comes from its package, and what a person may have written is a person's to mend.
 */
export function regeneration(finding: Finding): Regeneration | undefined {
  if (finding.path === undefined) return undefined;
  const path = textToPath(finding.path);
  switch (finding.code) {
    case 'generated-damaged':
      return generated(path, [path]);
    case 'generated-missing':
      return generated(path, []);
    case 'boot-initramfs-damaged':
      return boot(initramfs(finding, path), [path]);
    case 'boot-initramfs-missing':
      return boot(initramfs(finding, path), []);
    case 'boot-modules-damaged':
      return boot(modules(path), [path]);
    case 'boot-modules-missing':
      return boot(modules(path), []);
    case 'boot-loader-damaged':
      return boot(loader(path), [path]);
    case 'boot-loader-missing':
    case 'boot-loader-stale':
      // What is stale is whole, and grub-mkconfig keeps it until the new one is.
      return boot(loader(path), []);
    default:
      return undefined;
  }
}

function generated(path: Bytes, aside: readonly Bytes[]): Regeneration | undefined {
  const compiled = compileAgain(path);
  if (compiled !== undefined) return { ...compiled, before: { quarantine: aside }, verify: 'generated' };
  const entry = GENERATED.find(({ paths }) => paths.some((glob) => globPattern(glob).test(path)));
  if (entry?.make === undefined) return undefined;
  return {
    ...entry.make(path),
    before: { quarantine: [...aside, ...(entry.aside ?? [])] },
    verify: 'generated',
  };
}

function boot(command: Command | undefined, quarantine: readonly Bytes[]): Regeneration | undefined {
  return command === undefined ? undefined : { ...command, before: { quarantine }, verify: 'boot' };
}

/** Both write beside the place and rename. `-c`, because `-u` keeps the damaged one as a backup. */
function initramfs(finding: Finding, path: Bytes): Command | undefined {
  const version = /^\/boot\/initrd\.img-([^/]+)$/.exec(path)?.[1];
  const generator = INITRAMFS_GENERATORS.find((name) => name === finding.package);
  if (version === undefined || generator === undefined) return undefined;
  switch (generator) {
    case 'initramfs-tools':
      return { program: 'update-initramfs', args: ['-c', '-k', version] };
    case 'dracut':
      return { program: 'dracut', args: ['--force', path, version] };
  }
}

function modules(path: Bytes): Command | undefined {
  const version = /^\/lib\/modules\/([^/]+)\/modules\.[^/]+$/.exec(path)?.[1];
  return version === undefined ? undefined : { program: 'depmod', args: [version] };
}

function loader(path: Bytes): Command | undefined {
  switch (path) {
    case GRUB_CONFIG:
      return { program: 'grub-mkconfig', args: ['-o', GRUB_CONFIG] };
    case GRUB_ENVIRONMENT:
      return { program: 'grub-editenv', args: [GRUB_ENVIRONMENT, 'create'] };
    default:
      // grub-install has to be told where: that is the administrator's to say.
      return undefined;
  }
}
