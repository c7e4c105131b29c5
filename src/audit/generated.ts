/**
 * Files that no manifest knows because programs of packages make them: whether they are whole. What can be made again
 * is damage that needs no source of its content, only its program (recovery/regenerate.ts).
 */
import { lstatSync } from 'node:fs';
import type { Database } from '../dpkg/database.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import type { Finding } from '../model/finding.ts';
import { globMatches } from '../scan/globs.ts';
import { type Bytes, bufferOf, bytesFromText, fsPath } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { type Draft, finding } from './finding.ts';
import { judgeBytecode } from './generated/bytecode.ts';
import { installedPackage } from './generated/packages.ts';
import { GENERATED, type Generated } from './generated/table.ts';

/** The largest that is read whole: what is larger (an archive of all locales) is taken for whole. */
const LIMIT = 128 * 1024 * 1024;

const UNSYNCED = 'the program that writes it does not wait until it is on disk';

/**
 * Judges what installed packages generate. What is looked at is what the table and the packages' own lists name; no
 * directory is walked.
 */
export async function judgeGenerated(
  root: Root,
  database: Database,
  accepts: (path: Bytes) => boolean = () => true,
): Promise<Finding[]> {
  const drafts: Draft[] = [];
  for (const entry of GENERATED) {
    const owner = entry.packages
      .map((name) => installedPackage(database, name))
      .find((pkg) => pkg !== undefined);
    if (owner !== undefined) await judgeEntry({ root, database, accepts, entry, owner }, drafts);
  }
  drafts.push(...judgeBytecode(root, database, accepts));
  return drafts.map(finding);
}

interface Subject {
  readonly root: Root;
  readonly database: Database;
  readonly accepts: (path: Bytes) => boolean;
  readonly entry: Generated;
  readonly owner: Package;
}

async function judgeEntry(subject: Subject, drafts: Draft[]): Promise<void> {
  const { root, accepts, entry } = subject;
  const globs = entry.paths.filter((path) => /[*{]/.test(path));
  const plain = entry.paths.filter((path) => !globs.includes(path)).map(bytesFromText);
  const matched = (await globMatches(root, globs)).map(({ path }) => path);
  for (const path of [...plain, ...matched].filter(accepts)) {
    const found = root.resolve(path);
    if (found.kind === 'unreachable') continue;
    const outcome = readRegularFile(found.host, LIMIT);
    // A link is someone's who put it there; so is what stands there in a file's place.
    if (outcome.kind === 'missing' && (await isAlwaysMade(root, entry))) {
      drafts.push(draft(subject, path, 'generated-missing', 'is not there'));
    }
    if (outcome.kind !== 'read') continue;
    const what = damageOf(root, entry, path, outcome.data);
    if (what !== undefined) drafts.push(draft(subject, path, 'generated-damaged', what));
  }
}

async function isAlwaysMade(root: Root, { always }: Generated): Promise<boolean> {
  if (always === undefined || always === true) return always === true;
  return (await globMatches(root, [always])).length > 0;
}

function damageOf(root: Root, entry: Generated, path: Bytes, data: Bytes): string | undefined {
  if (data === '') {
    const unless = entry.emptyUnless?.(path);
    if (entry.mayBeEmpty === true || (unless !== undefined && isEmpty(root, unless))) return undefined;
    return 'is empty';
  }
  const bytes = bufferOf(data);
  if (bytes.every((byte) => byte === 0)) return 'consists of NUL bytes';
  try {
    return entry.examine(bytes);
  } catch (error) {
    // A number in it led outside the file, which a sound one's does not (I8).
    if (error instanceof RangeError) return 'points outside itself';
    throw error;
  }
}

function isEmpty(root: Root, path: Bytes): boolean {
  const found = root.resolve(path);
  if (found.kind === 'unreachable') return true;
  return (lstatSync(fsPath(found.host), { throwIfNoEntry: false })?.size ?? 0) === 0;
}

function draft(
  { database, entry, owner }: Subject,
  path: Bytes,
  code: 'generated-damaged' | 'generated-missing',
  what: string,
): Draft {
  return {
    code,
    severity: entry.severity,
    package: displayName(owner, database.native),
    version: owner.version,
    path,
    message: `a file that ${owner.name} makes ${what}${entry.make === undefined ? '; only a person can say what belongs in it' : ''}`,
    knownBy: 'generator',
    likelyOutage: code === 'generated-damaged',
    reason:
      code === 'generated-damaged'
        ? UNSYNCED
        : 'an image may have been made without it, or someone removed it',
  };
}
