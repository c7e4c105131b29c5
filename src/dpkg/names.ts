/** File names as dpkg's database and archives write them. */
import type { Bytes } from '../system/bytes.ts';

const SLASH = 47;
const DOT = 46;

/**
 * A name without the slashes and `./` before it (lib/dpkg/path.c, path_skip_slash_dotslash). No regular expression:
 * one overflows its stack at some millions of slashes.
 */
export function skipSlashes(name: Bytes): Bytes {
  let at = 0;
  while (
    name.charCodeAt(at) === SLASH ||
    (name.charCodeAt(at) === DOT && name.charCodeAt(at + 1) === SLASH)
  ) {
    at += 1;
  }
  return name.slice(at);
}
