/** What `btrfs scrub status` and the kernel say of a scrub (btrfs-scrub(8); fs/btrfs/scrub.c). */

export interface ScrubStatus {
  /** `running`, `finished`, `aborted`, `interrupted`. */
  readonly state: string;
  /** Bytes that were read; known with -R. */
  readonly bytes: number;
  /** Bytes that are to be read; known with --raw. */
  readonly total: number;
  readonly corrected: number;
  readonly uncorrectable: number;
}

/**
 * @param text of `btrfs scrub status -R` or `--raw`
 * @returns undefined where no scrub is known
 */
export function parseScrubStatus(text: string): ScrubStatus | undefined {
  const state = /^Status:\s+(\S+)/m.exec(text)?.[1];
  if (state === undefined) return undefined;
  const number = (name: string): number =>
    Number(new RegExp(`^\\s*${name}:\\s+(\\d+)`, 'mi').exec(text)?.[1] ?? 0);
  return {
    state,
    bytes: number('data_bytes_scrubbed') + number('tree_bytes_scrubbed'),
    total: number('Total to scrub'),
    corrected: number('corrected_errors'),
    uncorrectable: number('uncorrectable_errors'),
  };
}

export interface DamagedFile {
  /** The subvolume's number. */
  readonly root: number;
  /** Inside the subvolume. */
  readonly path: string;
}

/**
 * The files that the kernel names in a scrub's messages, each once:
 *
 *     BTRFS warning (device loop0): checksum error at logical 298844160 on dev /dev/loop0, physical 307232768, root 5,
 *     inode 257, offset 0, length 4096, links 1 (path: big)
 *
 * The kernel holds back messages that come too fast, so that these are some of them.
 *
 * @param device the kernel's name of the filesystem's device
 */
export function scrubPaths(messages: readonly string[], device: string): DamagedFile[] {
  const found = new Map<string, DamagedFile>();
  for (const text of messages) {
    const match =
      /^BTRFS \w+ \(device (\S+?)(?: state \w+)?\): .*error at logical \d+ .*\broot (\d+),? .*\(path: (.*)\)$/.exec(
        text,
      );
    if (match === null) continue;
    const [, where, root, path = ''] = match;
    if (where !== device) continue;
    found.set(`${root} ${path}`, { root: Number(root), path });
  }
  return [...found.values()];
}
