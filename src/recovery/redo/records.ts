/**
 * What programs of maintainer scripts note of their own work, in files that nobody else writes. A cut may leave the note
 * and take the work: then the program, called once more by the second installation, takes it for done, or for undone by
 * an administrator on purpose, and does nothing. So the notes go back to before, and the work with them where the two
 * have to agree.
 *
 *  - pam-auth-update(8): /var/lib/pam/seen says which profiles were ever offered, /var/lib/pam/TYPE what it wrote into
 *    /etc/pam.d/common-TYPE. What is seen is never switched on again, and where the others differ it does nothing at all.
 *  - ucf(1): /var/lib/ucf/hashfile says what it put in place, and ucfr(1)'s registry whose that is. A file that is
 *    missing or not that was deleted or changed by an administrator, and stays so.
 */
import { lstatSync, type Stats } from 'node:fs';
import { Kind } from '../../scan/work.ts';
import { type Bytes, bufferOf, bytesOf, fsPath } from '../../system/bytes.ts';
import { namesIn, readRegularFile } from '../../system/files.ts';
import { looksDamaged } from '../content.ts';
import { aside, type Effect, type EffectsInput, putBackTo } from './effect.ts';
import { beginningOf, isBornSince } from './state.ts';

/** Larger ones are none of these, in bytes. */
const READ_LIMIT = 4 * 1024 * 1024;

/** What the packages that are installed once more name in their archives and scripts. */
export interface Named {
  /** A program's name, or a literal path. */
  inScripts(text: Bytes): boolean;
  mayHave(path: Bytes): boolean;
}

/** What goes back of the notes, and of the work where it has to. */
export function recordsOf(input: EffectsInput, named: Named): Effect[] {
  // In the same boot nothing that was written is lost, and notes and work agree.
  if (!input.crashed) return [];
  return [
    ...(named.inScripts('pam-auth-update') ? pamRecords(input) : []),
    ...(named.inScripts('ucf') ? ucfRecords(input, named) : []),
  ];
}

const PAM_NOTES = '/var/lib/pam';
const PAM_TYPES = ['auth', 'account', 'password', 'session', 'session-noninteractive'] as const;
/** What pam-auth-update writes between its marks: the modules of the profiles. */
const PAM_MODULES =
  /^(# here are the per-package modules \(the "Primary" block\)).*?^(# here's the fallback if no module succeeds)|^(# and here are more per-package modules \(the "Additional" block\)).*?^(# end of pam-auth-update config)/gms;

/** All of it as one, or nothing of it: a half is what has to be mended. */
function pamRecords(input: EffectsInput): Effect[] {
  const { root, before } = input;
  const entries = before.below(PAM_NOTES).filter(({ kind }) => kind === Kind.file);
  const notes = root.resolveDirectory(PAM_NOTES);
  const scratch = (notes.kind === 'found' ? namesIn(notes.host) : [])
    .map((name) => `${PAM_NOTES}/${name}`)
    .filter((path) => before.find(path) === undefined);
  for (const type of PAM_TYPES) {
    const path = `/etc/pam.d/common-${type}`;
    const entry = before.find(path);
    // Made since, it leaves like anything else that was.
    if (entry === undefined) return [];
    entries.push(entry);
    scratch.push(`${path}.pam-new`);
    const was = before.contentOf(entry);
    const now = readNow(input, path);
    if (was === undefined || now === undefined || looksDamaged(bufferOf(now)) !== undefined) continue;
    const templates = [bytesOf(was), readNow(input, `/usr/share/pam/common-${type}`) ?? ''];
    // Somebody's own lines, of a minute ago perhaps (I3). pam-auth-update leaves everything as it is then.
    if (!templates.some((template) => withoutModules(template) === withoutModules(now))) return [];
  }
  const effects: Effect[] = [];
  for (const entry of entries) {
    const was = before.contentOf(entry);
    if (was === undefined || isOfLater(input, entry.path)) return [];
    if (readNow(input, entry.path) !== bytesOf(was))
      effects.push(
        ...putBackTo(
          before,
          entry,
          'pam-auth-update notes what it wrote elsewhere, and the cut may have kept the one and not the other; it does both once more',
        ),
      );
  }
  return [
    ...effects,
    ...scratch
      .filter((path) => isMadeSince(input, path))
      .map((path) => aside(path, 'pam-auth-update had not put it in place')),
  ];
}

function withoutModules(text: Bytes): Bytes {
  return text.replace(PAM_MODULES, '$1$2$3$4');
}

const UCF_NOTES = ['/var/lib/ucf/hashfile', '/var/lib/ucf/registry'] as const;

/** Line by line: those of files that are nobody's of these packages stay. */
function ucfRecords(input: EffectsInput, named: Named): Effect[] {
  return UCF_NOTES.flatMap((path) => {
    const entry = input.before.find(path);
    const now = readNow(input, path);
    if (now === undefined || looksDamaged(bufferOf(now)) !== undefined || isOfLater(input, path)) return [];
    const was = entry === undefined ? '' : input.before.contentOf(entry);
    if (was === undefined) return [];
    const rewound = rewindLines(typeof was === 'string' ? was : bytesOf(was), now, (file) =>
      named.mayHave(file),
    );
    if (rewound === now) return [];
    const stat = statNow(input, path);
    if (stat === undefined) return [];
    return [
      {
        action: {
          kind: 'put',
          path,
          data: bufferOf(rewound),
          attributes: { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid },
        },
        why: {
          reason:
            'ucf notes what it put in place, and the cut may have kept the note only; it does both once more',
          source: 'snapshot',
        },
        comesBack: false,
      },
    ];
  });
}

/**
 * Lines of two fields, the second a path: those of some paths as they were, the others as they are.
 *
 * @param isTheirs whether a path's line goes back
 */
export function rewindLines(was: Bytes, now: Bytes, isTheirs: (path: Bytes) => boolean): Bytes {
  const old = new Map(linesOf(was).map((line) => [pathOf(line), line]));
  const present = linesOf(now);
  const known = new Set(present.map(pathOf));
  const result = present.flatMap((line) => {
    const path = pathOf(line);
    return isTheirs(path) ? (old.get(path) ?? []) : line;
  });
  for (const [path, line] of old) if (!known.has(path) && isTheirs(path)) result.push(line);
  return result.map((line) => `${line}\n`).join('');
}

const linesOf = (text: Bytes): Bytes[] => text.split('\n').filter((line) => line !== '');
const pathOf = (line: Bytes): Bytes => line.replace(/^\S+\s+/, '');

function readNow({ root }: EffectsInput, path: Bytes): Bytes | undefined {
  const found = root.resolve(path);
  const read = found.kind === 'found' ? readRegularFile(found.host, READ_LIMIT) : undefined;
  return read?.kind === 'read' ? read.data : undefined;
}

function statNow({ root }: EffectsInput, path: Bytes): Stats | undefined {
  const found = root.resolve(path);
  return found.kind === 'found' ? lstatSync(fsPath(found.host), { throwIfNoEntry: false }) : undefined;
}

function isMadeSince(input: EffectsInput, path: Bytes): boolean {
  const stat = statNow(input, path);
  return stat?.isFile() === true && isBornSince(stat, beginningOf(input.before));
}

/** Whether an installation that came to its end since wrote it: then it is that one's. */
function isOfLater(input: EffectsInput, path: Bytes): boolean {
  const stat = statNow(input, path);
  return stat !== undefined && stat.ctimeMs >= input.laterSince;
}
