/** PDF, and plain text, which has no structure but the line. */
import { type Buffer, isUtf8 } from 'node:buffer';
import { endsBeyond, lacks, type Source, type Structure, UNKNOWN } from './source.ts';

const PDF = 'PDF';
/** Readers look for the end this far from the end of the file (Adobe's implementation note to 7.5.5). */
const PDF_TAIL = 1024;

/** Source: ISO 32000-1, 7.5.5 "File Trailer" and annex F, "Linearized PDF", whose /L is the file's length. */
export function examinePdf(source: Source): Structure {
  const head = source.bytes(0, Math.min(PDF_TAIL, source.size)).toString('latin1');
  const length = /\/Linearized\b[^>]*?\/L\s+(\d{1,15})\b/.exec(head)?.[1];
  const end = length === undefined ? 0 : Number.parseInt(length, 10);
  if (end > source.size) return endsBeyond(PDF, 'its linearized form would end', end);
  const tail = source.tail(PDF_TAIL).toString('latin1');
  if (/startxref\s+\d+\s+%%EOF\s*$/.test(tail)) return { kind: 'whole', format: PDF };
  // Something was appended, or a sloppy writer left the last line out.
  return /%%EOF|startxref/.test(tail) ? UNKNOWN : lacks(PDF, '%%EOF marker');
}

const BLOCK = 4096;

/**
 * Text that ends in the middle of a line, exactly where a file system's block ends. Few whole texts lack the last
 * newline, and of those one in 4096 has such a size. What usually lacks it is left alone: markup and generated code,
 * which end in a bracket or have no lines, and data without a single space (a test file of base64, 512 KiB long
 * to the byte, was once called cut).
 */
export function examineText(source: Source): Structure {
  if (source.size === 0 || source.size % BLOCK !== 0) return UNKNOWN;
  const tail = source.tail(BLOCK);
  const text = tail.toString('latin1');
  if (!isText(tail) || !/\S \S/.test(text) || !text.includes('\n') || /[\n\])}>;]$/.test(text))
    return UNKNOWN;
  if (!isText(source.bytes(0, BLOCK))) return UNKNOWN;
  return {
    kind: 'truncated',
    format: 'text',
    detail: 'it ends at a 4 KiB block boundary without a final newline',
  };
}

/** Lines of text: no control characters but those of layout and terminals, and UTF-8 or mostly ASCII. */
function isText(block: Buffer): boolean {
  let beyondAscii = 0;
  for (const byte of block) {
    if (byte >= 0x80) beyondAscii++;
    else if (byte === 0x7f || (byte < 0x20 && !LAYOUT.includes(byte))) return false;
  }
  return beyondAscii * 10 < block.length || isUtf8(withoutCutCharacters(block));
}

/** Backspace, tab, line feed, form feed, carriage return, escape. */
const LAYOUT = [0x08, 0x09, 0x0a, 0x0c, 0x0d, 0x1b];

/** The block without the character that its beginning or its end cuts in two. */
function withoutCutCharacters(block: Buffer): Buffer {
  let start = 0;
  while (start < 3 && (block.at(start) ?? 0) >> 6 === 0b10) start++;
  let end = block.length;
  for (let back = 1; back <= 3; back++) {
    const byte = block.at(-back) ?? 0;
    if (byte >= 0xc0) end = block.length - back;
    if (byte >> 6 !== 0b10) break;
  }
  return block.subarray(start, end);
}
