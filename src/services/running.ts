/** The units of the system that runs: systemd is told of a change, and starts and stops what the units stand for. */
import { lstatSync } from 'node:fs';
import { DebmendError } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { run } from '../system/run.ts';

/** Long enough for the agent's first look after an outage (TimeoutStartSec of debmend-watch.service). */
const TIMEOUT_MS = 6 * 60 * 1000;
/**
 * What runs from the moment of its installation. Not the recovery: it belongs to a boot, and a person who installs
 * debmend on a damaged system wants to see the plan first.
 */
const STARTED = [
  'debmend-marker.service',
  'debmend-retry.timer',
  'debmend-audit.timer',
  'debmend-watch.service',
];

/** Whether systemd runs this very root (sd_booted(3)). */
export function isRunningSystem(root: Root): boolean {
  if (!root.isHost) return false;
  try {
    return lstatSync('/run/systemd/system').isDirectory();
  } catch {
    return false;
  }
}

/** Makes systemd read the units, and starts them. @throws DebmendError `services-not-started` */
export async function startUnits(): Promise<void> {
  await systemctl('daemon-reload');
  // One that runs with what its unit said before runs on: a restart of the marker would clear it for a moment.
  await systemctl('start', ...STARTED);
}

/** Before the units are taken away. @param names of units that are there @throws DebmendError `services-not-started` */
export async function stopUnits(names: readonly string[]): Promise<void> {
  const stopped = STARTED.filter((name) => names.includes(name));
  if (stopped.length > 0) await systemctl('stop', ...stopped);
}

/** After they were. @throws DebmendError `services-not-started` */
export async function forgetUnits(names: readonly string[]): Promise<void> {
  await systemctl('daemon-reload');
  // One that failed would be shown as failed for as long as the boot lasts. It refuses those that are not remembered.
  for (const name of names) await run('systemctl', ['reset-failed', name], { timeout: TIMEOUT_MS });
}

async function systemctl(...args: string[]): Promise<void> {
  const { code, signal, timedOut, failure, stderr } = await run('systemctl', args, { timeout: TIMEOUT_MS });
  if (code === 0) return;
  const end = failure ?? (timedOut ? 'took too long' : `ended with ${code ?? signal}`);
  const said = stderr.trim().split('\n')[0] ?? '';
  throw new DebmendError(
    'services-not-started',
    `systemctl ${args.join(' ')}: ${end}${said === '' ? '' : ` (${said})`}`,
    "the unit files are as they should be; 'systemctl status debmend-*' and 'journalctl -u debmend-*' say more",
  );
}
