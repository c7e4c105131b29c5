/**
 * Whether Python's compiled files are whole. One whose header is right and whose rest is not breaks the import, while
 * one with a wrong header is only compiled again: so the rest is read, as far as to skip it.
 *
 * Source: CPython, Python/marshal.c (r_object) and Objects/codeobject.c; Lib/importlib/_bootstrap_external.py,
 * _classify_pyc, for the header of 16 bytes. Checked with the files of Python 3.11 and 3.13.
 */
import type { Buffer } from 'node:buffer';

const HEADER = 16;
/** Python's own limit (MAX_MARSHAL_STACK_DEPTH). */
const MOST_DEPTH = 2000;
/** The types of marshal that are known here are those of all versions until this one. */
const NEWEST_KNOWN = 313;

/** Proof of damage. */
class Cut extends Error {}
/** What a later Python may have added. */
class Unknown extends Error {}

/**
 * What is wrong with a compiled file, to be said after its name; nothing for one that is whole, or that a Python wrote
 * whose format is not known here.
 *
 * @param version 311 for CPython 3.11, as the file's name has it
 */
export function bytecodeDamage(data: Buffer, version: number): string | undefined {
  if (data.length === 0) return 'is empty';
  if (data.every((byte) => byte === 0)) return 'consists of NUL bytes';
  // The magic number changes with each version; that it is followed by an end of line does not.
  if (data.length < HEADER) return 'is cut off';
  if (data.readUInt16LE(2) !== 0x0a0d) return 'does not begin as its format begins';
  // Before 3.8 the header was another, and the code's parts too.
  if (version < 38) return undefined;
  try {
    const reader = new Reader(data, version);
    reader.object(0);
    // Python reads no further.
    return undefined;
  } catch (error) {
    if (error instanceof Cut) return 'is cut off or holds NUL bytes where an object should be';
    if (error instanceof Unknown) return undefined;
    throw error;
  }
}

class Reader {
  readonly #data: Buffer;
  readonly #version: number;
  #at = HEADER;

  constructor(data: Buffer, version: number) {
    this.#data = data;
    this.#version = version;
  }

  /** Skips one object; true where it is the NULL that ends a dictionary. */
  object(depth: number): boolean {
    if (depth > MOST_DEPTH) throw new Cut();
    const byte = this.#byte();
    const type = String.fromCharCode(byte & 0x7f);
    switch (type) {
      case '0':
        return true;
      case 'N':
      case 'F':
      case 'T':
      case 'S':
      case '.':
        return false;
      case 'i':
      case 'r':
        this.#skip(4);
        return false;
      case 'I':
      case 'g':
        this.#skip(8);
        return false;
      case 'y':
        this.#skip(16);
        return false;
      case 'f':
        this.#skip(this.#byte());
        return false;
      case 'x':
        this.#skip(this.#byte());
        this.#skip(this.#byte());
        return false;
      case 'l':
        this.#skip(Math.abs(this.#word()) * 2);
        return false;
      case 's':
      case 't':
      case 'a':
      case 'A':
      case 'u':
        this.#skip(this.#word());
        return false;
      case 'z':
      case 'Z':
        this.#skip(this.#byte());
        return false;
      case ')':
        this.#objects(this.#byte(), depth);
        return false;
      case '(':
      case '[':
      case '<':
      case '>':
        this.#objects(this.#word(), depth);
        return false;
      case '{':
        while (!this.object(depth + 1)) this.object(depth + 1);
        return false;
      case 'c':
        this.#code(depth);
        return false;
      default:
        // A NUL is no type in any version.
        throw byte === 0 || this.#version <= NEWEST_KNOWN ? new Cut() : new Unknown();
    }
  }

  #code(depth: number): void {
    // Until 3.10 the number of locals stood among the numbers, and the names of locals, free and cell variables in
    // three tuples; since 3.11 they are one tuple with their kinds, and there are a qualified name and exceptions.
    const since311 = this.#version >= 311;
    this.#skip(since311 ? 5 * 4 : 6 * 4);
    this.#objects(since311 ? 8 : 8, depth);
    this.#skip(4);
    this.#objects(since311 ? 2 : 1, depth);
  }

  #objects(count: number, depth: number): void {
    // Each takes a byte at least, so that a wild count ends here and not after a long while.
    if (count < 0 || count > this.#data.length - this.#at) throw new Cut();
    for (let index = 0; index < count; index += 1) this.object(depth + 1);
  }

  #byte(): number {
    const byte = this.#data[this.#at];
    if (byte === undefined) throw new Cut();
    this.#at += 1;
    return byte;
  }

  #word(): number {
    if (this.#at + 4 > this.#data.length) throw new Cut();
    this.#at += 4;
    return this.#data.readInt32LE(this.#at - 4);
  }

  #skip(length: number): void {
    if (length < 0 || this.#at + length > this.#data.length) throw new Cut();
    this.#at += length;
  }
}
