/** A kernel, whose initramfs a program makes from what is installed: in no manifest, and nothing boots without it. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from '../../../../lab/chroot.ts';
import type { Check, PowerWorkload } from '../workloads.ts';
import { freshInstallation } from './fresh.ts';

/** The smallest of Debian's kernels, with the modules of virtual machines alone. */
const PACKAGE = 'linux-image-cloud-amd64';

export const kernel: PowerWorkload = freshInstallation(PACKAGE, {
  name: 'kernel',
  what: 'apt-get install of a kernel, with its initramfs',
  afterSeconds: 4,
  check: checkBoot,
});

async function checkBoot(directory: string): Promise<Check> {
  const boot = join(directory, 'boot');
  const images = existsSync(boot) ? readdirSync(boot).filter((name) => name.startsWith('initrd.img-')) : [];
  if (images.length === 0) return { facts: [], wrong: 'there is no initramfs' };
  const facts: string[] = [];
  const wrong: string[] = [];
  for (const name of images) {
    const listed = await inRoot(directory, ['lsinitramfs', `/boot/${name}`], { offline: true });
    if (listed.code !== 0)
      wrong.push(`${name}: ${listed.stderr.trim() || `lsinitramfs ended with ${listed.code}`}`);
    else
      facts.push(
        ...listed.stdout
          .trimEnd()
          .split('\n')
          .map((line) => `${name} ${line}`),
      );
  }
  return { facts: facts.sort(), wrong: wrong.join('\n') };
}
