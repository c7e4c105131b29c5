/**
 * ELF objects: programs, shared libraries, object files, kernel modules, detached debug information.
 * Source: elf(5), the System V ABI (gABI), chapters "ELF Header", "Sections" and "Program Header".
 */
import type { Buffer } from 'node:buffer';
import { endsBeyond, type Source, type Structure, UNKNOWN, u16, u32, u64 } from './source.ts';

const FORMAT = 'ELF';
const ET_CORE = 4;
const SHT_NULL = 0;
const SHT_NOBITS = 8;
const EM_QDSP6 = 164;

/** Headers are read in one piece; a table larger than this is a corrupt count (65,536 sections of 64 bytes are 4 MiB). */
const LARGEST_TABLE = 8 * 1024 * 1024;

/** `QCOM_MDT_TYPE_MASK` of the kernel's drivers/soc/qcom/mdt_loader.c, in p_flags. */
const QUALCOMM_TYPE_MASK = 0x07000000;

/** What scripts/sign-file.c of the kernel appends to a signed module, after the signature. */
const MODULE_SIGNATURE = '~Module signature appended~\n';

/** Where the fields lie, by class: Elf32_Ehdr, Elf32_Shdr and Elf32_Phdr, and their 64-bit forms. */
const LAYOUT_32 = {
  wide: false,
  header: 52,
  phoff: 28,
  shoff: 32,
  phentsize: 42,
  phnum: 44,
  shentsize: 46,
  shnum: 48,
  section: { size: 40, offset: 16, length: 20 },
  segment: { size: 32, flags: 24, offset: 4, length: 16 },
} as const;
const LAYOUT_64 = {
  wide: true,
  header: 64,
  phoff: 32,
  shoff: 40,
  phentsize: 54,
  phnum: 56,
  shentsize: 58,
  shnum: 60,
  section: { size: 64, offset: 24, length: 32 },
  segment: { size: 56, flags: 4, offset: 8, length: 32 },
} as const;
type Layout = typeof LAYOUT_32 | typeof LAYOUT_64;

/** How one file's fields are read: its class and its byte order. */
interface Encoding {
  layout: Layout;
  little: boolean;
}

interface Extent {
  what: string;
  end: number;
}

export function examineElf(source: Source): Structure {
  const ident = source.bytes(0, 16);
  const elfClass = ident.readUInt8(4);
  const data = ident.readUInt8(5);
  if (elfClass < 1 || elfClass > 2 || data < 1 || data > 2 || ident.readUInt8(6) !== 1) return UNKNOWN;
  const layout = elfClass === 2 ? LAYOUT_64 : LAYOUT_32;
  const encoding = { layout, little: data === 1 };
  if (source.size < layout.header) return endsBeyond(FORMAT, 'its ELF header would end', layout.header);

  const header = source.bytes(0, layout.header);
  const { little } = encoding;
  if (u16(header, 16, little) === ET_CORE) return UNKNOWN;
  const segmentCount = u16(header, layout.phnum, little);
  const segmentTable = word(header, layout.phoff, encoding);
  const segmentTableEnd = segmentTable + segmentCount * layout.segment.size;
  if (segmentCount > 0 && u16(header, layout.phentsize, little) !== layout.segment.size) return UNKNOWN;
  if (segmentCount > 0 && segmentTableEnd > source.size) {
    return endsBeyond(FORMAT, 'its program headers would end', segmentTableEnd);
  }

  const sectionTable = word(header, layout.shoff, encoding);
  const sectionSize = u16(header, layout.shentsize, little);
  const segments = source.bytes(segmentCount > 0 ? segmentTable : 0, segmentCount * layout.segment.size);
  if (u16(header, 18, little) === EM_QDSP6 || isQualcommSplit(segments, encoding)) return UNKNOWN;
  if (sectionTable === 0 && segmentCount === 0) return UNKNOWN;
  if (sectionTable > 0 && sectionSize !== layout.section.size) return UNKNOWN;

  const extent =
    sectionTable > 0
      ? endOfSections(source, encoding, sectionTable, u16(header, layout.shnum, little))
      : endOfSegments(segments, encoding, segmentTableEnd);
  if (extent === undefined) return UNKNOWN;
  if (extent.end > source.size) return endsBeyond(FORMAT, `${extent.what} would end`, extent.end);
  const whole =
    extent.end === source.size ||
    source.tail(MODULE_SIGNATURE.length).toString('latin1') === MODULE_SIGNATURE;
  return whole ? { kind: 'whole', format: FORMAT } : UNKNOWN;
}

/**
 * The end of the section header table, or of the section that ends last: linkers write the table last, Go's writes it
 * first. Segments are not asked, for in detached debug files they still describe the program's bytes.
 */
function endOfSections(source: Source, encoding: Encoding, table: number, shnum: number): Extent | undefined {
  const { layout, little } = encoding;
  const { section } = layout;
  // With 0xff00 sections or more e_shnum is 0, and the first section's sh_size is the count.
  if (table + section.size > source.size) {
    return { what: 'its section headers', end: table + Math.max(shnum, 1) * section.size };
  }
  const count = shnum || word(source.bytes(table, section.size), section.length, encoding);
  const tableEnd = table + count * section.size;
  if (count === 0 || count * section.size > LARGEST_TABLE) return undefined;
  if (tableEnd > source.size) return { what: 'its section headers', end: tableEnd };
  const headers = source.bytes(table, count * section.size);
  let last: Extent = { what: 'its section headers', end: tableEnd };
  for (let index = 0; index < count; index++) {
    const at = index * section.size;
    const type = u32(headers, at + 4, little);
    if (type === SHT_NULL || type === SHT_NOBITS) continue;
    const end = word(headers, at + section.offset, encoding) + word(headers, at + section.length, encoding);
    if (end > last.end) last = { what: `its section ${index}`, end };
  }
  return last;
}

/** For a program whose section headers were stripped off: what the kernel or the loader would map. */
function endOfSegments(segments: Buffer, encoding: Encoding, tableEnd: number): Extent {
  const { segment } = encoding.layout;
  let last: Extent = { what: 'its program headers', end: tableEnd };
  for (let at = 0; at < segments.length; at += segment.size) {
    const end = word(segments, at + segment.offset, encoding) + word(segments, at + segment.length, encoding);
    if (end > last.end) last = { what: `its segment ${at / segment.size}`, end };
  }
  return last;
}

/**
 * Qualcomm's firmware comes split: the .mdt file is an ELF header whose segments lie in files of their own (.b00, .b01
 * and so on), so a whole one looks cut. It can be told by the type bits in p_flags, which no other ELF file uses.
 */
function isQualcommSplit(segments: Buffer, encoding: Encoding): boolean {
  const { segment } = encoding.layout;
  for (let at = 0; at < segments.length; at += segment.size) {
    if ((u32(segments, at + segment.flags, encoding.little) & QUALCOMM_TYPE_MASK) !== 0) return true;
  }
  return false;
}

/** An address, offset or size field: as wide as the class. */
function word(buffer: Buffer, offset: number, encoding: Encoding): number {
  return encoding.layout.wide ? u64(buffer, offset, encoding.little) : u32(buffer, offset, encoding.little);
}
