/**
 * Whether this is a machine that can lose its power, or a container or a chroot, for which the question makes no sense:
 * they share the boot of their host, and have neither its marker nor its journal.
 */
import { existsSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { Evidence } from '../model/outage.ts';
import { readMounts } from '../system/mounts.ts';
import { run } from '../system/run.ts';
import { evidence } from './evidence.ts';

/** include/linux/proc_ns.h, PROC_PID_INIT_INO: the pid namespace that the kernel began with. */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';
/** What container managers leave inside (systemd's src/basic/virt.c; podman and docker). */
const TRACES = [
  '/run/systemd/container',
  '/run/host/container-manager',
  '/.dockerenv',
  '/run/.containerenv',
] as const;
/** Filesystems that need no disk of this machine. */
const REMOTE = /^(?:nfs4?|cifs|smb3|ceph|9p|virtiofs)$/;

/** What speaks against asking at all, without a process. Never throws. */
export function placeEvidence(): Evidence[] {
  const found: Evidence[] = [];
  if (!existsSync('/proc/self'))
    return [
      evidence('chroot', '/proc', '/proc is not mounted, as in a chroot or an image that is being built'),
    ];
  const mounts = readMounts();
  if (otherRoot() || (mounts.length > 0 && !mounts.some(({ mountPoint }) => mountPoint === '/')))
    found.push(evidence('chroot', '/proc/1/root', 'this process has another root than the first process'));
  for (const trace of TRACES)
    if (existsSync(trace)) found.push(evidence('container', trace, 'this file is there in containers only'));
  const named = /(?:^|\0)container=([^\0]*)/.exec(text('/proc/1/environ') ?? '')?.[1];
  if (named !== undefined && named !== '')
    found.push(evidence('container', '/proc/1/environ', `the first process runs in a container (${named})`));
  const namespace = link('/proc/self/ns/pid');
  if (namespace !== undefined && namespace !== FIRST_PID_NAMESPACE)
    found.push(
      evidence('container', '/proc/self/ns/pid', 'this is not the first pid namespace of the kernel'),
    );
  const devices = text('/proc/partitions');
  const remote = mounts.some(({ mountPoint, type }) => mountPoint === '/' && REMOTE.test(type));
  if (
    devices !== undefined &&
    !remote &&
    devices.split('\n').filter((line) => /^\s*\d/.test(line)).length === 0
  )
    found.push(evidence('no-disks', '/proc/partitions', 'there are no block devices here'));
  return found;
}

/** What systemd-detect-virt(1) says; it knows of more kinds than this file. Never throws. */
export async function detectVirt(limit: number): Promise<Evidence[]> {
  const answer = await run('systemd-detect-virt', ['--container'], { timeout: limit });
  const type = answer.stdout.toString('latin1').trim();
  return answer.code === 0 && /^[a-z0-9-]+$/.test(type) && type !== 'none'
    ? [evidence('container', 'systemd-detect-virt', `this is a container (${type})`)]
    : [];
}

/** Whether the first process has another root; false where that may not be known. */
function otherRoot(): boolean {
  try {
    const [first, own] = [statSync('/proc/1/root/'), statSync('/')];
    return first.dev !== own.dev || first.ino !== own.ino;
  } catch {
    // Without the right to look at another process.
    return false;
  }
}

function text(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return undefined;
  }
}

function link(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined;
  }
}
