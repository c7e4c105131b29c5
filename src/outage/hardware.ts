/** What the hardware says of the last reset: watchdogs, and a management controller where there is one. */
import { existsSync } from 'node:fs';
import type { Evidence } from '../model/outage.ts';
import { listInside, readInside } from '../system/inside.ts';
import type { Root } from '../system/root.ts';
import { run } from '../system/run.ts';
import { evidence } from './evidence.ts';

/** Documentation/watchdog/watchdog-api.rst and linux/watchdog.h: bits of bootstatus. */
const BOOT_STATUS = [
  { bit: 0x01, kind: 'reset-reason', text: 'the machine was reset because of overheating' },
  { bit: 0x02, kind: 'reset-reason', text: 'the machine was reset because a fan failed' },
  { bit: 0x10, kind: 'power-failed', text: 'the machine was reset because the voltage was too low' },
  { bit: 0x20, kind: 'watchdog', text: 'the watchdog reset the machine' },
  { bit: 0x40, kind: 'reset-reason', text: 'the machine was reset because the voltage was too high' },
] as const;
const IPMITOOLS = ['/usr/bin/ipmitool', '/usr/sbin/ipmitool', '/usr/local/bin/ipmitool'] as const;
const IPMI_DEVICES = ['/dev/ipmi0', '/dev/ipmi/0', '/dev/ipmidev/0'] as const;
const IPMI_MS = 3000;

/** The causes that a watchdog's bootstatus names. */
export function bootStatusEvidence(status: string, source: string, boot: string | undefined): Evidence[] {
  const bits = Number(status.trim() || Number.NaN);
  if (!Number.isInteger(bits)) return [];
  return BOOT_STATUS.filter(({ bit }) => (bits & bit) !== 0).map(({ kind, text }) =>
    evidence(kind, source, text, { boot }),
  );
}

/** What every watchdog of the running machine says. Never throws. */
export function watchdogs(root: Root, boot: string | undefined): Evidence[] {
  const found: Evidence[] = [];
  // The names in there are links into /sys/devices, inside the same root.
  for (const { name } of listInside(root, '/sys/class/watchdog', 20)) {
    const file = `/sys/class/watchdog/${name}/bootstatus`;
    const status = readInside(root, file, 4096);
    if (status.kind === 'read') found.push(...bootStatusEvidence(status.data, file, boot));
  }
  return found;
}

/** What `ipmitool chassis status` says of the last power event. */
export function chassisEvidence(output: string): Evidence[] {
  const event = /^Last Power Event\s*: *(\S.*?)\s*$/m.exec(output)?.[1];
  if (event === undefined) return [];
  const source = 'ipmitool chassis status';
  if (event.includes('ac-failed'))
    return [
      evidence(
        'power-failed',
        source,
        'the last power event was that the mains failed (ac-failed); it has no date',
      ),
    ];
  if (/overload|fault|interlock/.test(event))
    return [evidence('power-failed', source, `the last power event was: ${event}`)];
  return [evidence('reset-reason', source, `the last power event was: ${event}`)];
}

/** Whether a management controller can be asked. */
export function hasController(): boolean {
  return (
    IPMI_DEVICES.some((device) => existsSync(device)) && IPMITOOLS.some((program) => existsSync(program))
  );
}

/** Asks the management controller, which can take seconds: it adds to the cause, and never changes the verdict. */
export async function controller(): Promise<Evidence[]> {
  const answer = await run('ipmitool', ['chassis', 'status'], { timeout: IPMI_MS });
  if (answer.timedOut)
    return [evidence('unavailable', 'ipmitool', `ipmitool did not answer within ${IPMI_MS / 1000} s`)];
  return answer.code === 0 ? chassisEvidence(answer.stdout.toString('latin1')) : [];
}
