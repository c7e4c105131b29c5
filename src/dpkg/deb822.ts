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

export interface ParseProblem {
  /** What dpkg says after `parsing file '…' near line N`; cut at a NUL, as C prints it. */
  readonly message: string;
  readonly line: number;
  readonly start: number;
  readonly end: number;
  /** The package that dpkg would name, where it had read one before the error. */
  readonly package: Bytes | undefined;
  /** Whether dpkg refuses the whole file because of it, or only warns. */
  readonly fatal: boolean;
}

export interface Deb822 {
  readonly stanzas: Stanza[];
  readonly problems: ParseProblem[];
}

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
export function parseDeb822(text: Bytes): Deb822 {
  const stanzas: Stanza[] = [];
  const problems: ParseProblem[] = [];
  const reader = new Reader(text);
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
          package: nameSoFar(fields),
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
        package: nameSoFar(fields),
        fatal: true,
      });
    }
  }
}

/** The package as dpkg names it in a message in mid-stanza: qualified once a co-installable architecture is known. */
function nameSoFar(fields: ReadonlyMap<Bytes, Bytes>): Bytes | undefined {
  const name = fields.get('package');
  const architecture = fields.get('architecture');
  const qualified = architecture !== undefined && fields.get('multi-arch') === 'same';
  return name !== undefined && qualified ? `${name}:${architecture}` : name;
}

class Reader {
  readonly #text: Bytes;
  #at = 0;
  line = 0;

  readonly #hasControlZ: boolean;

  constructor(text: Bytes) {
    this.#text = text;
    this.#hasControlZ = text.includes('\x1a');
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  get position(): number {
    return this.#at;
  }

  #code(at: number): number {
    return this.#text.charCodeAt(at);
  }

  /** The end of the line that `from` lies in: a newline, or the ^Z that dpkg takes for one; -1 at the end. */
  #lineEnd(from: number): number {
    const newline = this.#text.indexOf('\n', from);
    if (!this.#hasControlZ) return newline;
    const controlZ = this.#text.indexOf('\x1a', from);
    if (controlZ < 0) return newline;
    return newline < 0 ? controlZ : Math.min(newline, controlZ);
  }

  skipNewlines(): void {
    while (!this.atEnd) {
      const code = this.#code(this.#at);
      if (code !== NEWLINE && code !== CONTROL_Z) return;
      this.line += 1;
      this.#at += 1;
    }
  }

  /** Moves to the next line that begins with `Package:`, which is where dpkg itself writes a stanza's beginning. */
  resynchronise(): void {
    const next = this.#text.indexOf('\nPackage:', Math.max(0, this.#at - 1));
    const to = next < 0 ? this.#text.length : next + 1;
    for (let at = this.#at; at < to; at += 1) if (this.#code(at) === NEWLINE) this.line += 1;
    this.#at = Math.max(to, this.#at);
  }

  readStanza(fields: Map<Bytes, Bytes>, warn: (message: string) => void): void {
    const text = this.#text;
    const length = text.length;
    for (;;) {
      const nameStart = this.#at;
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
        if (at >= length) break;
        code = this.#code(at);
        if (at + 1 >= length || code === NEWLINE || !isSpace(code)) break;
        if (isBlankLine(text, at)) warn(`blank line in value of field '${printed}'`);
      }
      this.#at = at;
      const value = trimEnd(text.slice(valueStart, at));
      const key = name.toLowerCase();
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
const KNOWN_FIELDS: ReadonlyMap<string, string> = new Map(
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
    'Revision',
    'Recommended',
    'Optional',
    'Class',
  ].map((name) => [name.toLowerCase(), name]),
);
