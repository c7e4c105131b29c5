/**
 * Byte strings. File names and dpkg's files are bytes in no particular encoding. Inside debmend they are strings in
 * which each character is one byte (V8 stores such strings one byte a character, slices them without copying, and
 * hashes them fast), so a Latin-1 name survives every round trip. Only model/path-text.ts turns them into text.
 */
import { Buffer } from 'node:buffer';

/** A string whose characters are all in 0..255, each standing for one byte. */
export type Bytes = string;

/** The bytes of a buffer as a byte string. */
export function bytesOf(buffer: Uint8Array): Bytes {
  return Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength).toString('latin1');
}

/** A byte string as a buffer. */
export function bufferOf(bytes: Bytes): Buffer {
  return Buffer.from(bytes, 'latin1');
}

/**
 * A byte string as an argument of node:fs. Node encodes string arguments as UTF-8, so anything beyond ASCII has to
 * go as a buffer.
 */
export function fsPath(path: Bytes): string | Buffer {
  return BEYOND_ASCII.test(path) ? Buffer.from(path, 'latin1') : path;
}

const BEYOND_ASCII = /[^\x00-\x7f]/;

/** An argument or a name from the outside (UTF-8 text, as Node hands it over) as a byte string. */
export function bytesFromText(text: string): Bytes {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Orders byte strings by their bytes. */
export function compareBytes(a: Bytes, b: Bytes): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
