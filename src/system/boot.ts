/** Which boot this is, and how long it has lasted (proc(5), random/boot_id and uptime). */
import { readFileSync } from 'node:fs';

/** The kernel's id of this boot; undefined where /proc is not mounted, as in a chroot that an image is built in. */
export function bootId(): string | undefined {
  const id = text('/proc/sys/kernel/random/boot_id')?.trim();
  return id === undefined || id === '' ? undefined : id;
}

/** Seconds since this boot, suspension included (CLOCK_BOOTTIME); undefined without /proc. */
export function uptime(): number | undefined {
  const seconds = Number(text('/proc/uptime')?.split(' ')[0]);
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}

function text(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return undefined;
  }
}
