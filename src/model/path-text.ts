/**
 * How a path whose bytes may be anything becomes text, for JSON and for people.
 *
 * Inside debmend a path is a byte string (system/bytes.ts): one character a byte. In JSON it is written as it is when
 * its bytes are UTF-8. Otherwise it becomes a file URI (RFC 8089) in which every byte that is not plain ASCII is
 * percent-escaped: `file:///usr/share/caf%E9`. The two can't be confused, because a path begins with `/`.
 */
import { Buffer, isAscii, isUtf8 } from 'node:buffer';

const URI_PREFIX = 'file://';

/** A byte path as report text; see the head of this file for the escape. */
export function pathToText(path: string): string {
  const bytes = Buffer.from(path, 'latin1');
  if (isAscii(bytes)) return path;
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = URI_PREFIX;
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    text +=
      /[\w./~+:@-]/.test(char) && byte < 0x80 ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}

/**
 * A byte string that is no path (a package's name, a message of dpkg's) as text. What is not UTF-8 in it becomes
 * U+FFFD: it is there to be read, not to be resolved. Text that was composed here passes unchanged.
 */
export function bytesToText(bytes: string): string {
  if (!/[^\x00-\x7f]/.test(bytes) || /[^\x00-\xff]/.test(bytes)) return bytes;
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** The byte path that `pathToText` wrote. */
export function textToPath(text: string): string {
  if (!text.startsWith(URI_PREFIX)) return Buffer.from(text, 'utf8').toString('latin1');
  return text
    .slice(URI_PREFIX.length)
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/**
 * A report path for a terminal: as it is when every character prints, else in the shell's `$'…'` quoting, so that it
 * can be pasted into a command and no control character of a hostile name reaches the terminal.
 */
export function pathForTerminal(text: string): string {
  const path = textToPath(text);
  const bytes = Buffer.from(path, 'latin1');
  if (isUtf8(bytes) && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text)) return text;
  let quoted = '';
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    if (char === "'" || char === '\\') quoted += `\\${char}`;
    else if (byte >= 0x20 && byte < 0x7f) quoted += char;
    else quoted += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `$'${quoted}'`;
}
