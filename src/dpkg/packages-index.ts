/**
 * The Packages files of an archive (apt's apt-pkg/tagfile.cc and deb/deblistparser.cc): of each stanza what names an
 * archive and what it is known by. They are read as they come, in memory that does not grow with them.
 */
import type { Bytes } from '../system/bytes.ts';

export interface IndexedArchive {
  readonly name: Bytes;
  readonly version: Bytes;
  readonly architecture: Bytes;
  /** Bytes. */
  readonly size: number;
  /** 64 lower-case hex digits. */
  readonly sha256: Bytes;
}

/** No field that is read here comes near; the longest lines, of Depends and Provides, have some 100 kB. */
const MAX_LINE_BYTES = 1024 * 1024;
const SHA256 = /^[0-9a-f]{64}$/;
const SIZE = /^\d{1,15}$/;

const CARRIAGE_RETURN = 13;
const COLON = 58;

type FieldName = 'package' | 'version' | 'architecture' | 'size' | 'sha256';

/** Never throws; the time is linear in the length. */
export class PackagesReader {
  readonly #take: (archive: IndexedArchive) => void;
  /** The beginning of a line whose end has not come yet. */
  #rest: Bytes = '';
  /** The line that is being read is longer than any that matters. */
  #overlong = false;
  #fields = new Map<FieldName, Bytes>();
  /** Whether the stanza that is being read has a line. */
  #begun = false;
  /** Whether it holds NUL bytes or a field twice: where a part of the file is lost, two stanzas look like one. */
  #broken = false;
  /** Stanzas that are not whole, or name no archive with its size. */
  damaged = 0;
  /** The input ended in the middle of a line: known after `end`. */
  cut = false;

  constructor(take: (archive: IndexedArchive) => void) {
    this.#take = take;
  }

  push(chunk: Buffer): void {
    const piece = chunk.toString('latin1');
    const text = this.#rest === '' ? piece : this.#rest + piece;
    const nul = text.includes('\0');
    let at = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', at)) {
      if (this.#overlong) this.#overlong = false;
      else this.#line(text, at, end, nul);
      at = end + 1;
    }
    const rest = text.length - at;
    this.#begun ||= rest > 0;
    this.#broken ||= nul && text.indexOf('\0', at) >= 0;
    if (rest > MAX_LINE_BYTES) this.#overlong = true;
    this.#rest = this.#overlong ? '' : text.slice(at);
  }

  /** Takes the last stanza, which need not have an empty line behind it. */
  end(): void {
    this.cut = this.#rest !== '' || this.#overlong;
    this.#endStanza();
  }

  #line(text: Bytes, at: number, end: number, nul: boolean): void {
    if (end === at || (end === at + 1 && text.charCodeAt(at) === CARRIAGE_RETURN)) {
      this.#endStanza();
      return;
    }
    this.#begun = true;
    if (nul && text.slice(at, end).includes('\0')) this.#broken = true;
    const name = fieldAt(text, at);
    if (name === undefined) return;
    if (this.#fields.has(name)) this.#broken = true;
    this.#fields.set(name, text.slice(at + name.length + 1, end).trim());
  }

  #endStanza(): void {
    if (!this.#begun) return;
    const fields = this.#fields;
    const name = fields.get('package');
    const version = fields.get('version');
    const architecture = fields.get('architecture');
    const size = fields.get('size');
    const sha256 = fields.get('sha256')?.toLowerCase();
    const broken = this.#broken;
    this.#begun = false;
    this.#broken = false;
    fields.clear();
    if (broken || !name || !version || !architecture || size === undefined || !SIZE.test(size)) {
      this.damaged += 1;
    } else if (sha256 !== undefined && !SHA256.test(sha256)) {
      this.damaged += 1;
    } else if (sha256 !== undefined) {
      // A repository may have other hashes only: nothing is known by them here.
      this.#take({ name, version, architecture, size: Number(size), sha256 });
    }
  }
}

/** Which of the fields begins here; by its first letter and its colon, which spares a slice for most lines. */
function fieldAt(text: Bytes, at: number): FieldName | undefined {
  switch (text.charCodeAt(at) | 0x20) {
    case 0x70:
      return isField(text, at, 'package');
    case 0x76:
      return isField(text, at, 'version');
    case 0x61:
      return isField(text, at, 'architecture');
    case 0x73:
      return isField(text, at, 'size') ?? isField(text, at, 'sha256');
    default:
      return undefined;
  }
}

function isField(text: Bytes, at: number, name: FieldName): FieldName | undefined {
  const end = at + name.length;
  return text.charCodeAt(end) === COLON && text.slice(at, end).toLowerCase() === name ? name : undefined;
}
