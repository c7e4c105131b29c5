/** Images, and RIFF, the container of WebP images and WAVE sounds. */
import { endsBeyond, judgeEnd, lacks, type Source, type Structure, UNKNOWN } from './source.ts';

const PNG = 'PNG';

/** Source: PNG (W3C Recommendation, third edition), section 5.3, "Chunk layout", and 11.2.5, "IEND". */
export function examinePng(source: Source): Structure {
  let at = 8;
  while (at + 12 <= source.size) {
    const header = source.bytes(at, 8);
    const type = header.toString('latin1', 4);
    if (!/^[A-Za-z]{4}$/.test(type)) return UNKNOWN;
    const end = at + 12 + header.readUInt32BE(0);
    if (end > source.size) return endsBeyond(PNG, `its ${type} chunk would end`, end);
    if (type === 'IEND') return judgeEnd(source, PNG, 'its IEND chunk would end', end);
    at = end;
  }
  return lacks(PNG, 'IEND chunk');
}

const GIF = 'GIF';
const GIF_IMAGE = 0x2c;
const GIF_EXTENSION = 0x21;
const GIF_TRAILER = 0x3b;

/** Source: CompuServe's GIF89a specification, sections 15 to 27. */
export function examineGif(source: Source): Structure {
  if (source.size < 13) return endsBeyond(GIF, 'its screen descriptor would end', 13);
  let at = 13 + colorTableSize(source.u8(10));
  if (at > source.size) return endsBeyond(GIF, 'its color table would end', at);
  // Some writers leave the trailer out: a file that ends after any complete block is not certainly cut.
  while (at < source.size) {
    const introducer = source.u8(at);
    if (introducer === GIF_TRAILER) return judgeEnd(source, GIF, 'its trailer would end', at + 1);
    if (introducer === GIF_EXTENSION) {
      at += 2;
    } else if (introducer === GIF_IMAGE) {
      if (at + 11 > source.size) return endsBeyond(GIF, 'an image descriptor would end', at + 10);
      // The descriptor, its color table, and the byte that says the minimum code size.
      at += 10 + colorTableSize(source.u8(at + 9)) + 1;
    } else {
      return UNKNOWN;
    }
    for (let length = -1; length !== 0 && at !== source.size; at += length + 1) {
      if (at > source.size) return endsBeyond(GIF, 'a block of image data would end', at);
      length = source.u8(at);
    }
  }
  return at > source.size ? endsBeyond(GIF, 'a block of image data would end', at) : UNKNOWN;
}

/** Bytes of the color table that a packed field announces. */
function colorTableSize(packed: number): number {
  return (packed & 0x80) === 0 ? 0 : 3 << ((packed & 7) + 1);
}

const JPEG = 'JPEG';
const JPEG_EOI = 0xd9;
const JPEG_SOS = 0xda;
const JPEG_PIECE = 64 * 1024;

/**
 * Source: ITU-T T.81, annex B. Segments say their length; the coded data after a start of scan does not and is searched for
 * the marker that ends it. A thumbnail's own end of image lies inside a segment and is not met.
 */
export function examineJpeg(source: Source): Structure {
  let at = 2;
  while (at + 2 <= source.size) {
    const marker = source.bytes(at, 2);
    if (marker.readUInt8(0) !== 0xff) return UNKNOWN;
    const code = marker.readUInt8(1);
    if (code === 0xff) {
      at += 1; // a fill byte
      continue;
    }
    if (code === JPEG_EOI) return judgeEnd(source, JPEG, 'its end-of-image marker would end', at + 2);
    if (code < 0xc0) return UNKNOWN;
    if (at + 4 > source.size) return lacks(JPEG, 'end-of-image marker');
    const end = at + 2 + source.bytes(at + 2, 2).readUInt16BE(0);
    if (end > source.size) return endsBeyond(JPEG, 'one of its segments would end', end);
    at = code === JPEG_SOS ? endOfScan(source, end) : end;
  }
  return lacks(JPEG, 'end-of-image marker');
}

/** The offset of the first marker in coded data: 0xff, not followed by 0 (a data byte) or a restart marker. */
function endOfScan(source: Source, start: number): number {
  for (let from = start; from + 1 < source.size; ) {
    const piece = source.bytes(from, Math.min(JPEG_PIECE, source.size - from));
    let found = piece.indexOf(0xff);
    for (; found >= 0 && found + 1 < piece.length; found = piece.indexOf(0xff, found + 1)) {
      const code = piece.readUInt8(found + 1);
      if (code !== 0 && code !== 0xff && (code < 0xd0 || code > 0xd7)) return from + found;
    }
    // A 0xff that is the piece's last byte is looked at again with what follows it.
    from += piece.length - 1;
  }
  return source.size;
}

/** What writers put who did not know the length when they began. */
const RIFF_STREAMED = 0x7fffffff;

/**
 * Source: Microsoft's "Multimedia Programming Interface and Data Specifications 1.0", chapter RIFF. Writers err in
 * the length by their own header's eight bytes and by the pad byte, so that much is let pass.
 */
export function examineRiff(source: Source): Structure {
  if (source.size < 12) return UNKNOWN;
  const length = source.bytes(4, 4).readUInt32LE(0);
  const end = 8 + length + (length % 2);
  if (length === 0 || length >= RIFF_STREAMED) return UNKNOWN;
  if (end > source.size && end - source.size <= 9) return UNKNOWN;
  return judgeEnd(source, 'RIFF', 'its RIFF chunk would end', end);
}
