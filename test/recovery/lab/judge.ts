/**
 * What "ends like an uninterrupted run" means: two roots compared, path by path, in all but what two sound
 * installations differ in by themselves (ignored.ts). Times are no part of it.
 *
 *  - every path: type, permission bits, owner, size, content, link target, device numbers, capability;
 *  - which names are one file (hard links);
 *  - dpkg's, apt's and debconf's databases, record by record and field by field (records.ts); the info directory, named
 *    triggers, alternatives and all else byte for byte, because they are paths as any others.
 */
import { pathToText } from '../../../src/model/path-text.ts';
import { merged } from '../../../src/recovery/redo/rewind.ts';
import { type Bytes, compareBytes } from '../../../src/system/bytes.ts';
import { leniencyFor } from './ignored.ts';
import { type Entry, type RootImage, readImage } from './image.ts';
import { type Reading, readingOf } from './records.ts';

export interface Judgement {
  /** A line for people each, in the order of the paths; none when the roots are equal. */
  readonly differences: readonly string[];
  /** What differs and is let pass, with the reason. */
  readonly ignored: readonly string[];
}

/** @param lower what both are overlays of, if they are (image.ts) */
export async function compareRoots(expected: string, actual: string, lower?: RootImage): Promise<Judgement> {
  return compareImages(await readImage(expected, lower), await readImage(actual, lower));
}

export function compareImages(expected: RootImage, actual: RootImage): Judgement {
  const differences: string[] = [];
  const ignored: string[] = [];
  const paths = [...new Set([...expected.entries.keys(), ...actual.entries.keys()])].sort(compareBytes);
  for (const path of paths) {
    const wanted = expected.entries.get(path);
    const found = actual.entries.get(path);
    const one = wanted ?? found;
    if (one === undefined || (isNote(path, actual) && wanted === undefined)) continue;
    const leniency = leniencyFor(path, one.type);
    const reading = wanted?.type === 'file' && found?.type === 'file' ? readingOf(path) : undefined;
    const strict = strictly(wanted, found);
    if (leniency?.how === 'anything') {
      if (strict.length > 0) ignored.push(`${pathToText(path)}: ${leniency.reason}`);
    } else if (leniency?.how === 'shape') {
      const shape = shapes(wanted, found);
      for (const difference of shape) differences.push(`${pathToText(path)}: ${difference}`);
      if (shape.length === 0 && strict.length > 0) ignored.push(`${pathToText(path)}: ${leniency.reason}`);
    } else if (reading !== undefined) {
      for (const difference of attributes(wanted, found)) {
        differences.push(`${pathToText(path)}: ${difference}`);
      }
      const texts = [expected, actual].map((image) => textOf(image, path)) as [Bytes, Bytes];
      if (texts[0] === texts[1]) continue;
      for (const difference of recordDifferences(reading, ...texts)) {
        differences.push(`${pathToText(path)}: ${difference}`);
      }
    } else {
      for (const difference of strict) differences.push(`${pathToText(path)}: ${difference}`);
    }
  }
  differences.push(...linkDifferences(expected, actual));
  return { differences, ignored };
}

/** dpkg's notes are records like those of its status file, and it puts them there when it pleases. */
const NOTE = /^\/var\/lib\/dpkg\/updates\/\d+$/;

const isNote = (path: Bytes, { texts }: RootImage): boolean =>
  NOTE.test(path) && /^Package: [\s\S]+\n$/.test(texts.get(path) ?? '');

function textOf(image: RootImage, path: Bytes): Bytes {
  const { texts } = image;
  const text = texts.get(path) ?? '';
  const notes = [...texts].filter(([note]) => isNote(note, image)).sort(([a], [b]) => compareBytes(a, b));
  if (path !== '/var/lib/dpkg/status' || notes.length === 0) return text;
  const stanzas = merged([text, ...notes.map(([, note]) => note)]);
  return [...stanzas.values()].map((stanza) => `${stanza}\n\n`).join('');
}

/**
 * How a root after a recovery differs from what it should be. Where the cut came before anything was changed, nothing
 * was interrupted, and what there was before is as good an end as what was going to be.
 *
 * @param base before the transaction @param before when the recovery began @param after when it had ended
 */
export function differencesAfter(
  after: RootImage,
  { base, before, expected }: Readonly<Record<'base' | 'before' | 'expected', RootImage>>,
): readonly string[] {
  const { differences } = compareImages(expected, after);
  if (differences.length === 0 || compareImages(base, before).differences.length > 0) return differences;
  return compareImages(base, after).differences.length === 0 ? [] : differences;
}

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');

function strictly(wanted: Entry | undefined, found: Entry | undefined): string[] {
  const differences = attributes(wanted, found);
  if (wanted === undefined || found === undefined || wanted.type !== found.type) return differences;
  if (wanted.target !== found.target) {
    differences.push(`leads to ${pathToText(found.target)} instead of ${pathToText(wanted.target)}`);
  }
  if (wanted.hash !== found.hash) differences.push(contentDifference(wanted, found));
  return differences;
}

function contentDifference(wanted: Entry, found: Entry): string {
  if (found.size === 0) return `empty instead of ${wanted.size} bytes`;
  return found.size === wanted.size
    ? `other content, ${found.size} bytes`
    : `other content, ${found.size} bytes instead of ${wanted.size}`;
}

/** All that does not need the content. */
function attributes(wanted: Entry | undefined, found: Entry | undefined): string[] {
  if (wanted === undefined || found === undefined) return presence(wanted, found);
  if (wanted.type !== found.type) return [`a ${found.type} instead of a ${wanted.type}`];
  const differences: string[] = [];
  if (wanted.mode !== found.mode)
    differences.push(`mode ${octal(found.mode)} instead of ${octal(wanted.mode)}`);
  if (wanted.uid !== found.uid || wanted.gid !== found.gid) {
    differences.push(`of ${found.uid}:${found.gid} instead of ${wanted.uid}:${wanted.gid}`);
  }
  if (wanted.capability !== found.capability) {
    differences.push(`capability ${found.capability || 'none'} instead of ${wanted.capability || 'none'}`);
  }
  return differences;
}

function presence(wanted: Entry | undefined, found: Entry | undefined): string[] {
  if (wanted !== undefined) return [`missing, a ${wanted.type}${sizeOf(wanted)}`];
  return found === undefined ? [] : [`should not be there, a ${found.type}${sizeOf(found)}`];
}

const sizeOf = ({ type, size }: Entry): string => (type === 'file' ? ` of ${size} bytes` : '');

function shapes(wanted: Entry | undefined, found: Entry | undefined): string[] {
  const differences = attributes(wanted, found);
  if (wanted === undefined || found === undefined || wanted.type !== found.type) return differences;
  if (wanted.size === 0 && found.size > 0) differences.push(`${found.size} bytes instead of none`);
  if (wanted.size > 0 && found.size === 0) differences.push(contentDifference(wanted, found));
  return differences;
}

function recordDifferences(reading: Reading, expected: Bytes, actual: Bytes): string[] {
  const wanted = reading.read(expected);
  const found = reading.read(actual);
  if (wanted === undefined) throw new Error(`the expected file is damaged: ${reading.of}`);
  if (found === undefined) return ['damaged'];
  const differences: string[] = [];
  for (const name of [...new Set([...wanted.keys(), ...found.keys()])].sort(compareBytes)) {
    const [want, have] = [wanted.get(name), found.get(name)];
    const what = `${reading.of} ${name}`;
    if (have === undefined) differences.push(`${what} is missing`);
    else if (want === undefined) differences.push(`${what} should not be there`);
    else {
      for (const field of [...new Set([...want.keys(), ...have.keys()])].sort(compareBytes)) {
        const [before, after] = [want.get(field), have.get(field)];
        if (before === after) continue;
        differences.push(`${what}: ${field} is ${shown(after)} instead of ${shown(before)}`);
      }
    }
  }
  return differences;
}

function shown(value: Bytes | undefined): string {
  if (value === undefined) return 'missing';
  return value.length > 80 ? `'${value.slice(0, 80)}…'` : `'${value}'`;
}

/** Names of one file, among those that are compared; what is kept elsewhere by a link (debmend's store) is no name here. */
function linkGroups({ entries }: RootImage): Map<Bytes, Bytes> {
  const groups = Map.groupBy(
    [...entries].filter(
      ([path, { inode, type }]) => inode !== '' && leniencyFor(path, type)?.how !== 'anything',
    ),
    ([, { inode }]) => inode,
  );
  const found = new Map<Bytes, Bytes>();
  for (const group of groups.values()) {
    const paths = group.map(([path]) => path).sort(compareBytes);
    if (paths.length < 2) continue;
    for (const path of paths) found.set(path, paths.join(' '));
  }
  return found;
}

function linkDifferences(expected: RootImage, actual: RootImage): string[] {
  const [wanted, found] = [linkGroups(expected), linkGroups(actual)];
  return [...new Set([...wanted.keys(), ...found.keys()])].sort(compareBytes).flatMap((path) => {
    const [before, after] = [wanted.get(path) ?? path, found.get(path) ?? path];
    // A name that is missing was said.
    if (before === after || !expected.entries.has(path) || !actual.entries.has(path)) return [];
    return [`${pathToText(path)}: one file with ${pathToText(after)} instead of ${pathToText(before)}`];
  });
}
