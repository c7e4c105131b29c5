/** fstab(5), for the one question whether systemd checks a filesystem at boot: its sixth field, fs_passno. */
import type { Bytes } from '../../system/bytes.ts';

export interface FstabEntry {
  /** As written: a device, `UUID=…`, `LABEL=…`. */
  readonly spec: Bytes;
  readonly mountPoint: Bytes;
  readonly type: string;
  readonly options: readonly string[];
  /** 0 or left out: never checked at boot. */
  readonly pass: number;
}

/** Never throws: a line that is none says nothing (I8). */
export function parseFstab(text: Bytes): FstabEntry[] {
  return text.split('\n').flatMap((line) => {
    const [spec, mountPoint, type, options = 'defaults', , pass = '0'] = line.trim().split(/[ \t]+/);
    if (spec === undefined || spec.startsWith('#') || mountPoint === undefined || type === undefined)
      return [];
    return [
      {
        spec: unescapeOctal(spec.replace(/^([A-Z]+=)"(.*)"$/, '$1$2')),
        mountPoint: unescapeOctal(mountPoint).replace(/(.)\/+$/, '$1'),
        type,
        options: options.split(','),
        pass: /^\d+$/.test(pass) ? Number(pass) : 0,
      },
    ];
  });
}

/** The entry of a mount point inside the root; the last one counts, as in systemd-fstab-generator(8). */
export function fstabEntry(entries: readonly FstabEntry[], mountPoint: Bytes): FstabEntry | undefined {
  return entries.findLast((entry) => entry.mountPoint === mountPoint);
}

function unescapeOctal(field: Bytes): Bytes {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8) & 0xff),
  );
}
