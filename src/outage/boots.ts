/**
 * Whether boots ended cleanly, as the systemd journal tells: the last entry of one that did is `Journal stopped`.
 * (Measured: it is there after a power-off and a reboot, and missing after a power cut.) A journal that is not kept
 * across boots, or no journal at all, proves nothing, and then a boot counts as unclean.
 */
import { run } from '../system/run.ts';

/** systemd's sd-messages.h, SD_MESSAGE_JOURNAL_STOP. */
const JOURNAL_STOPPED = 'd93fb3c9c24d451a97cea615ce59c00b';
const TIMEOUT_MS = 3000;

/** Whether the boot that is named, and every one between it and this one, ended cleanly. */
export async function endedCleanly(sinceBoot: string): Promise<boolean> {
  const listed = await run('journalctl', ['--list-boots', '--output=json', '--quiet'], {
    timeout: TIMEOUT_MS,
  });
  if (listed.code !== 0) return false;
  const boots = bootsOf(listed.stdout.toString('utf8'));
  const from = boots.indexOf(sinceBoot.replaceAll('-', ''));
  if (from < 0) return false;
  for (const boot of boots.slice(from, -1)) {
    const last = await run(
      'journalctl',
      [`--boot=${boot}`, '--lines=1', '--output=json', '--output-fields=MESSAGE_ID', '--quiet'],
      { timeout: TIMEOUT_MS },
    );
    if (last.code !== 0 || !last.stdout.includes(JOURNAL_STOPPED)) return false;
  }
  return boots.length > from + 1;
}

/** Boot ids in order, without dashes; from `journalctl --list-boots -o json` (journalctl(1), systemd 252 on). */
export function bootsOf(text: string): string[] {
  try {
    const rows: unknown = JSON.parse(text);
    if (!Array.isArray(rows)) return [];
    return rows.flatMap((row: unknown) =>
      typeof row === 'object' && row !== null && 'boot_id' in row && typeof row.boot_id === 'string'
        ? [row.boot_id.replaceAll('-', '')]
        : [],
    );
  } catch {
    return [];
  }
}
