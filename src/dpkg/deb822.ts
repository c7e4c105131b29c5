/**
 * Stanzas of dpkg's control files, parsed by the rules of dpkg itself (lib/dpkg/parse.c, parse_stanza) so that what is
 * sound here is sound there, and damage is reported in dpkg's own words. Unlike dpkg, reading goes on after damage: at
 * the next line that can begin a stanza.
 */
import type { Bytes } from '../system/bytes.ts';

export interface Field {
  readonly name: Bytes;
  /** The value as dpkg keeps it: leading blanks of the first line and trailing white space removed. */
  readonly value: Bytes;
}

export interface Stanza {
  /** Field values by lower-cased name. */
  readonly fields: ReadonlyMap<Bytes, Bytes>;
  /** Newlines before the stanza's end, as dpkg counts them in its messages. */
  readonly line: number;
  /** Where the stanza begins and ends in the file, in bytes. */
  readonly start: number;
  readonly end: number;
}

export interface StanzaProblem {
  /** What dpkg says after `parsing file '…' near line N`; cut at a NUL, as C prints it. */
  readonly message: string;
  readonly line: number;
  readonly start: number;
  readonly end: number;
  /** The fields that dpkg had read before the error, by lower-cased name. */
  readonly fields: ReadonlyMap<Bytes, Bytes>;
  /** Whether dpkg refuses the whole file because of it, or only warns. */
  readonly fatal: boolean;
}

export interface Deb822 {
  readonly stanzas: Stanza[];
  readonly problems: StanzaProblem[];
}

/**
 * Looks at a field as soon as it is read, as dpkg does: of two damages in a stanza it names the first.
 *
 * @returns what dpkg says when it refuses the value
 */
export type FieldCheck = (key: Bytes, value: Bytes) => string | undefined;

const NEWLINE = 10;
const COLON = 58;
const HYPHEN = 45;
/** dpkg treats ^Z as an end of line (MSDOS_EOF_CHAR). */
const CONTROL_Z = 26;

/** c_isspace of dpkg: the C locale's white space. */
function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}

/** What `%.*s` prints of a byte string: nothing from the first NUL on. */
export function asPrinted(bytes: Bytes): Bytes {
  const nul = bytes.indexOf('\0');
  return nul < 0 ? bytes : bytes.slice(0, nul);
}

class StanzaError extends Error {}

/**
 * Parses every stanza of a control file. Never throws; the time is linear in the length.
 *
 * @param text the file's bytes
 */
export function parseDeb822(text: Bytes, check?: FieldCheck): Deb822 {
  const stanzas: Stanza[] = [];
  const problems: StanzaProblem[] = [];
  const reader = new Reader(text, check);
  for (;;) {
    const fields = new Map<Bytes, Bytes>();
    reader.skipNewlines();
    const start = reader.position;
    if (reader.atEnd) return { stanzas, problems };
    try {
      reader.readStanza(fields, (message) => {
        problems.push({
          message,
          line: reader.line,
          start,
          end: reader.position,
          fields,
          fatal: false,
        });
      });
      stanzas.push({ fields, line: reader.line, start, end: reader.position });
    } catch (error) {
      if (!(error instanceof StanzaError)) throw error;
      const line = reader.line;
      reader.resynchronise();
      problems.push({
        message: error.message,
        line,
        start,
        end: reader.position,
        fields,
        fatal: true,
      });
    }
  }
}

/**
 * The next place of a character, kept between searches: looking for a far one from every line would take quadratic
 * time.
 */
class Ahead {
  readonly #char: string;
  #from = 0;
  #found = -1;

  constructor(char: string) {
    this.#char = char;
  }

  /** Infinity when there is none. */
  find(text: Bytes, from: number): number {
    if (from < this.#from || from > this.#found) {
      const found = text.indexOf(this.#char, from);
      this.#from = from;
      this.#found = found < 0 ? Number.POSITIVE_INFINITY : found;
    }
    return this.#found;
  }
}

class Reader {
  readonly #text: Bytes;
  readonly #check: FieldCheck | undefined;
  #at = 0;
  line = 0;
  readonly #newline = new Ahead('\n');
  readonly #controlZ = new Ahead('\x1a');
  /** Where `Package` stands in the stanza being read, but not at its beginning: damage may have joined two stanzas. */
  #joined: { readonly at: number; readonly line: number } | undefined;

  constructor(text: Bytes, check: FieldCheck | undefined) {
    this.#text = text;
    this.#check = check;
  }

  /** Like dpkg, which looks for the end after it took a character: a single last one is not seen. */
  get atEnd(): boolean {
    return this.#at + 1 >= this.#text.length;
  }

  get position(): number {
    return this.#at;
  }

  #code(at: number): number {
    return this.#text.charCodeAt(at);
  }

  /** The end of the line that `from` lies in: a newline, or the ^Z that dpkg takes for one; -1 at the end. */
  #lineEnd(from: number): number {
    const end = Math.min(this.#newline.find(this.#text, from), this.#controlZ.find(this.#text, from));
    return end === Number.POSITIVE_INFINITY ? -1 : end;
  }

  skipNewlines(): void {
    while (this.#at < this.#text.length) {
      const code = this.#code(this.#at);
      if (code !== NEWLINE && code !== CONTROL_Z) return;
      this.line += 1;
      this.#at += 1;
    }
  }

  /**
   * Moves to the next line that begins with `Package:`, which is where dpkg itself writes a stanza's beginning; back to
   * one where the damaged stanza ran into it. No line is read more than twice.
   */
  resynchronise(): void {
    if (this.#joined !== undefined) {
      this.#at = this.#joined.at;
      this.line = this.#joined.line;
      return;
    }
    const next = this.#text.indexOf('\nPackage:', Math.max(0, this.#at - 1));
    const to = next < 0 ? this.#text.length : next + 1;
    for (let at = this.#at; at < to; at += 1) if (this.#code(at) === NEWLINE) this.line += 1;
    this.#at = Math.max(to, this.#at);
  }

  readStanza(fields: Map<Bytes, Bytes>, warn: (message: string) => void): void {
    const text = this.#text;
    const length = text.length;
    const start = this.#at;
    this.#joined = undefined;
    for (;;) {
      const nameStart = this.#at;
      const nameLine = this.line;
      let at = nameStart;
      let code = this.#code(at);
      // dpkg asks for the end of the file after it took a character, so the last character counts as the end.
      while (at + 1 < length && !isSpace(code) && code !== COLON && code !== CONTROL_Z)
        code = this.#code(++at);
      const name = text.slice(nameStart, at);
      this.#at = at;
      if (name === '') throw new StanzaError('empty field name');
      if (name.charCodeAt(0) === HYPHEN) {
        throw new StanzaError(`field name '${asPrinted(name)}' cannot start with hyphen`);
      }
      while (at + 1 < length && code !== NEWLINE && isSpace(code)) code = this.#code(++at);
      this.#at = at;
      const printed = asPrinted(name);
      if (at + 1 >= length) throw new StanzaError(`end of file after field name '${printed}'`);
      if (code === NEWLINE) throw new StanzaError(`newline in field name '${printed}'`);
      if (code === CONTROL_Z) throw new StanzaError(`MSDOS end of file (^Z) in field name '${printed}'`);
      if (code !== COLON) throw new StanzaError(`field name '${printed}' must be followed by colon`);

      do code = this.#code(++at);
      while (at + 1 < length && code !== NEWLINE && isSpace(code));
      this.#at = at;
      if (at + 1 >= length) {
        throw new StanzaError(`end of file before value of field '${printed}' (missing final newline)`);
      }
      if (code === CONTROL_Z) {
        throw new StanzaError(`MSDOS end of file (^Z) in value of field '${printed}' (missing newline?)`);
      }

      const valueStart = at;
      for (;;) {
        const lineEnd = this.#lineEnd(at);
        if (lineEnd < 0) {
          this.#at = length;
          throw new StanzaError(`end of file during value of field '${printed}' (missing final newline)`);
        }
        this.line += 1;
        at = lineEnd + 1;
        code = this.#code(lineEnd);
        if (at >= length) break;
        code = this.#code(at);
        if (at + 1 >= length || code === NEWLINE || !isSpace(code)) break;
        if (isBlankLine(text, at)) warn(`blank line in value of field '${printed}'`);
      }
      this.#at = at;
      const value = trimEnd(text.slice(valueStart, at));
      const key = name.toLowerCase();
      if (key === 'package' && nameStart > start) this.#joined = { at: nameStart, line: nameLine };
      if (fields.has(key)) {
        throw new StanzaError(
          KNOWN_FIELDS.has(key)
            ? `duplicate value for '${KNOWN_FIELDS.get(key)}' field`
            : `duplicate value for user-defined field '${printed}'`,
        );
      }
      if (!KNOWN_FIELDS.has(key) && name.length < 2) {
        throw new StanzaError(`user-defined field name '${printed}' too short`);
      }
      fields.set(key, value);
      const wrong = this.#check?.(key, asPrinted(value));
      if (wrong !== undefined) throw new StanzaError(wrong);
      if (at + 1 >= length) {
        if (code === NEWLINE) this.line += 1;
        this.#at = length;
        return;
      }
      if (code === NEWLINE || code === CONTROL_Z) {
        if (code === NEWLINE) this.line += 1;
        this.#at = at + 1;
        return;
      }
    }
  }
}

/** Whether the line that begins at `at` holds nothing but white space. */
function isBlankLine(text: Bytes, at: number): boolean {
  for (let i = at; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === NEWLINE) return true;
    if (!isSpace(code)) return false;
  }
  return false;
}

function trimEnd(value: Bytes): Bytes {
  let end = value.length;
  while (end > 0 && isSpace(value.charCodeAt(end - 1))) end -= 1;
  return value.slice(0, end);
}

/** The fields that dpkg knows, as it capitalises them in messages (lib/dpkg/parse.c, fieldinfos). */
export const KNOWN_FIELDS: ReadonlyMap<string, string> = new Map(
  [
    'Package',
    'Essential',
    'Protected',
    'Status',
    'Priority',
    'Section',
    'Installed-Size',
    'Origin',
    'Maintainer',
    'Bugs',
    'Architecture',
    'Multi-Arch',
    'Source',
    'Version',
    'Config-Version',
    'Replaces',
    'Provides',
    'Depends',
    'Pre-Depends',
    'Recommends',
    'Suggests',
    'Breaks',
    'Conflicts',
    'Enhances',
    'Conffiles',
    'Filename',
    'Size',
    'MD5sum',
    'MSDOS-Filename',
    'Description',
    'Triggers-Pending',
    'Triggers-Awaited',
    'Recommended',
    'Optional',
    'Class',
    'Revision',
    'Package-Revision',
    'Package_Revision',
  ].map((name) => [name.toLowerCase(), name]),
);
