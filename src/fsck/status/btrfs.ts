/** The error counters that btrfs keeps of each device (btrfs-device(8), stats). They last until somebody resets them. */
import type { DeviceStats } from '../../model/filesystem.ts';
import { run } from '../../system/run.ts';

const TIMEOUT_MS = 10_000;

/** The counters of `btrfs --format json device stats` (btrfs-progs 6.1), or of its lines. Never throws (I8). */
export function parseDeviceStats(text: string): DeviceStats[] {
  return text.trimStart().startsWith('{') ? parseJson(text) : parseLines(text);
}

function parseJson(text: string): DeviceStats[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  const stats = fieldOf(value, 'device-stats');
  if (!Array.isArray(stats)) return [];
  return stats.flatMap((one: unknown) => {
    const device = fieldOf(one, 'device');
    if (typeof device !== 'string') return [];
    const number = (name: string): number => {
      const counter = Number(fieldOf(one, name));
      return Number.isSafeInteger(counter) && counter >= 0 ? counter : 0;
    };
    return [
      {
        device,
        write: number('write_io_errs'),
        read: number('read_io_errs'),
        flush: number('flush_io_errs'),
        corruption: number('corruption_errs'),
        generation: number('generation_errs'),
      },
    ];
  });
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

const COUNTERS = {
  write_io_errs: 'write',
  read_io_errs: 'read',
  flush_io_errs: 'flush',
  corruption_errs: 'corruption',
  generation_errs: 'generation',
} as const;

/** `[/dev/sda1].write_io_errs    0`. */
function parseLines(text: string): DeviceStats[] {
  const found = new Map<
    string,
    { device: string } & Record<(typeof COUNTERS)[keyof typeof COUNTERS], number>
  >();
  for (const line of text.split('\n')) {
    const [, device, name, digits] = /^\[(.*)\]\.(\w+)\s+(\d+)\s*$/.exec(line) ?? [];
    if (device === undefined || name === undefined || !(name in COUNTERS)) continue;
    const stats = found.get(device) ?? { device, write: 0, read: 0, flush: 0, corruption: 0, generation: 0 };
    stats[COUNTERS[name as keyof typeof COUNTERS]] = Number(digits);
    found.set(device, stats);
  }
  return [...found.values()];
}

/**
 * Asks btrfs(8) for the counters of a mounted filesystem.
 *
 * @param mountPoint a path of this host
 * @returns the counters, or why there are none
 */
export async function readDeviceStats(mountPoint: string): Promise<DeviceStats[] | string> {
  const json = await run('btrfs', ['--format', 'json', 'device', 'stats', mountPoint], {
    timeout: TIMEOUT_MS,
  });
  if (json.failure !== undefined) return 'the device statistics: btrfs(8) is not installed';
  if (json.timedOut) return `the device statistics: btrfs did not answer within ${TIMEOUT_MS / 1000} s`;
  const stats = parseDeviceStats(json.stdout.toString('utf8'));
  if (stats.length > 0) return stats;
  // Before 6.1 there was no JSON of these.
  const lines = await run('btrfs', ['device', 'stats', mountPoint], { timeout: TIMEOUT_MS });
  const plain = parseDeviceStats(lines.stdout.toString('utf8'));
  const said = (lines.stderr || json.stderr).trim().split('\n').at(-1) ?? '';
  return plain.length > 0 ? plain : `the device statistics: ${said === '' ? 'btrfs said nothing' : said}`;
}

/** All errors of a device together. */
export function errorsOf({ write, read, flush, corruption, generation }: DeviceStats): number {
  return write + read + flush + corruption + generation;
}
