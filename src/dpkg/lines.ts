/** Files that dpkg reads line by line with fgets (lib/dpkg/utils.c, fgets_checked), with its messages for damage. */
import type { Bytes } from '../system/bytes.ts';

export interface CheckedLines {
  /** The whole lines, without their newlines. */
  readonly lines: Bytes[];
  /** How many of them dpkg reads before it gives up. */
  readonly sound: number;
  /** The first message that dpkg would print, with the file's name as it prints it. */
  readonly message: string | undefined;
}

/**
 * @param file the file's name for the message
 * @param limit bytes of dpkg's line buffer, its terminating NUL included
 */
export function checkedLines(data: Bytes, file: Bytes, limit: number): CheckedLines {
  const lines: Bytes[] = [];
  let message: string | undefined;
  let sound: number | undefined;
  for (let at = 0; at < data.length; ) {
    const newline = data.indexOf('\n', at);
    const end = newline < 0 ? data.length : newline;
    const line = data.slice(at, end);
    at = end + 1;
    const empty = line.startsWith('\0');
    if (!empty && newline >= 0 && line.length + 1 <= limit - 1 && !line.includes('\0')) {
      lines.push(line);
      continue;
    }
    sound ??= lines.length;
    message ??= empty
      ? `fgets gave an empty string from '${file}'`
      : `too-long line or missing newline in '${file}'`;
  }
  return { lines, sound: sound ?? lines.length, message };
}
