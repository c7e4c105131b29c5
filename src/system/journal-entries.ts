/** What journalctl(1) prints with --output=json (systemd.journal-fields(7)). */

/** One entry; fields that are binary or absent are undefined. */
export interface JournalEntry {
  readonly at: Date;
  /** Seconds (CLOCK_MONOTONIC). */
  readonly uptime: number | undefined;
  readonly messageId: string | undefined;
  readonly message: string | undefined;
  /** The unit that it is of, where it was asked for. */
  readonly unit: string | undefined;
}

/** Entries of `journalctl -o json`, a line each; what is no entry is left out. Never throws (I8). */
export function parseEntries(text: string): JournalEntry[] {
  return text.split('\n').flatMap((line) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return [];
    }
    if (typeof value !== 'object' || value === null) return [];
    const fields = value as Readonly<Record<string, unknown>>;
    const realtime = Number(fields['__REALTIME_TIMESTAMP']);
    const at = new Date(realtime / 1000);
    if (realtime <= 0 || Number.isNaN(at.getTime())) return [];
    const monotonic = Number(fields['__MONOTONIC_TIMESTAMP']);
    return [
      {
        at,
        uptime: Number.isFinite(monotonic) ? monotonic / 1e6 : undefined,
        messageId: textOf(fields['MESSAGE_ID']),
        message: textOf(fields['MESSAGE']),
        unit: textOf(fields['_SYSTEMD_UNIT']),
      },
    ];
  });
}

/** journalctl writes bytes that are no text as numbers. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((byte) => typeof byte === 'number'))
    return Buffer.from(value).toString('utf8');
  return undefined;
}
