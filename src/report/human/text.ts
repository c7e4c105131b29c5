/**
 * Words, numbers and widths for a terminal. What comes from the system that was looked at (names, messages, an
 * os-release) passes through `printable` before it is shown: a power cut can leave anything in it, and so can people.
 */
import { styleText } from 'node:util';

export type Style = Parameters<typeof styleText>[0];
export type Paint = (style: Style, text: string) => string;

/** Colours when asked to, whatever the streams of this process are: only the caller knows where the text goes. */
export function painter(colour: boolean): Paint {
  return colour
    ? (style, text) => (text === '' ? '' : styleText(style, text, { validateStream: false }))
    : (_style, text) => text;
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Text in which every character that would move the cursor, hide or reorder what is read stands escaped. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (char) => {
    const hex = (char.codePointAt(0) ?? 0).toString(16);
    return hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
  });
}

/** The same for text whose line breaks mean nothing more than a space, as in dpkg's own messages. */
export function oneLine(text: string): string {
  return printable(text.trim().replace(/\s*[\r\n]+\s*|\t+/g, ' '));
}

const ZERO_WIDTH = /^[\p{Mn}\p{Me}]/u;
/** East Asian Wide and Fullwidth (UAX #11) as far as a Unicode property names them, and emoji. */
const WIDE =
  /^(?![\uff61-\uffdc])[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Yi}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;

/** Columns that printable text takes in a terminal. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let columns = 0;
  for (const char of text) columns += ZERO_WIDTH.test(char) ? 0 : WIDE.test(char) ? 2 : 1;
  return columns;
}

export function padding(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text)));
}

/** Breaks at spaces only, so that no path, name or command is ever cut; a word longer than `width` overflows. */
export function wrap(text: string, width: number): string[] {
  if (displayWidth(text) <= width) return [text];
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && displayWidth(line) + 1 + displayWidth(word) > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines;
}

/** 1283 → `1,283`. */
export function number(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 file`, `1,283 files`. */
export function count(value: number, singular: string, plural = `${singular}s`): string {
  return `${number(value)} ${value === 1 ? singular : plural}`;
}

/** `a`, `a and b`, `a, b and c`. */
export function sentenceList(items: readonly string[]): string {
  const last = items.at(-1) ?? '';
  return items.length < 2 ? last : `${items.slice(0, -1).join(', ')} and ${last}`;
}

/** Bytes in powers of a thousand, as disks are sold: `812 bytes`, `2.1 GB`. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = '';
  for (const next of ['kB', 'MB', 'GB', 'TB', 'PB']) {
    // 999.95 and more would be printed as 1000.0 of the smaller unit.
    if (value < (unit === '' ? 1000 : 999.95)) break;
    value /= 1000;
    unit = next;
  }
  return unit === '' ? count(value, 'byte') : `${value.toFixed(1)} ${unit}`;
}

/** `under 0.1 seconds`, `0.4 seconds`, `42 seconds`, `2 minutes 5 seconds`. */
export function duration(seconds: number): string {
  if (seconds < 0.05) return 'under 0.1 seconds';
  if (seconds < 9.95) {
    const text = seconds.toFixed(1).replace(/\.0$/, '');
    return `${text} ${text === '1' ? 'second' : 'seconds'}`;
  }
  const whole = Math.round(seconds);
  if (whole < 60) return count(whole, 'second');
  const rest = whole % 60;
  return count(Math.floor(whole / 60), 'minute') + (rest === 0 ? '' : ` ${count(rest, 'second')}`);
}
