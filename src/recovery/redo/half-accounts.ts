/**
 * Accounts that a cut left half-made, or half taken away. Their programs write one file after another, each synced and
 * renamed (shadow's close_files, systemd-sysusers), and no two of them at once: an account may stand in passwd and not in
 * shadow, a group in group and not in gshadow. A script that asks whether it is there leaves it like that for ever.
 *
 * Names whose lines do not agree now, and did before, go back to before in all files, and the scripts do it once more.
 * Only those that the scripts name, and system accounts: what an administrator was doing to a person's is left as it is.
 */
import { type Bytes, bufferOf, bytesOf } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import { areAccounts } from '../accounts.ts';
import { standingAt } from '../tracked-damage.ts';
import type { Effect, EffectsInput } from './effect.ts';
import type { Named } from './records.ts';

const FILES = ['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/gshadow'] as const;
type File = (typeof FILES)[number];
/** Every file's lines by their names, in order. */
export type Accounts = Readonly<Record<File, ReadonlyMap<Bytes, Bytes>>>;

const READ_LIMIT = 16 * 1024 * 1024;
/** Below it are system accounts (UID_MIN, GID_MIN of login.defs(5), as Debian has them). */
const FIRST_PERSON = 1000;

export function halfAccounts(input: EffectsInput, named: Named): Effect[] {
  const { root, before, crashed } = input;
  if (!crashed) return [];
  const now: Partial<Record<File, Bytes>> = {};
  const then: Partial<Record<File, Bytes>> = {};
  for (const file of FILES) {
    const entry = before.find(file);
    const was = entry === undefined ? undefined : before.contentOf(entry);
    const found = root.resolve(file);
    const read = found.kind === 'found' ? readRegularFile(found.host, READ_LIMIT) : undefined;
    // One that is damaged gets its content of before (trackedBefore), and has to agree with that.
    const isSound = read?.kind === 'read' && areAccounts(file, read.data) === true && read.data !== '';
    if (was === undefined) return [];
    then[file] = bytesOf(was);
    now[file] = isSound ? read.data : bytesOf(was);
  }
  const present = accountsOf(now);
  const earlier = accountsOf(then);
  const removed = input.removalScripts;
  const isOurs = (name: Bytes, id: number): boolean =>
    id < FIRST_PERSON || named.inScripts(name) || removed.includes(name);
  const names = new Set([
    ...namesThatDiffer(present, earlier, isOurs),
    ...usersWithoutGroups(present, earlier, (name) => removed.includes(name)),
  ]);
  if (names.size === 0) return [];
  return FILES.flatMap((file): Effect[] => {
    const text = textOf(rewound(present[file], earlier[file], names));
    if (text === textOf(present[file])) return [];
    const stat = standingAt(root, file);
    const attributes = typeof stat === 'object' && stat.isFile() ? stat : before.find(file);
    if (attributes === undefined) return [];
    const { mode, uid, gid } = attributes;
    return [
      {
        action: {
          kind: 'put',
          path: file,
          data: bufferOf(text),
          attributes: { mode: mode & 0o7777, uid, gid },
        },
        why: {
          reason: `accounts that were half-made or half removed go back to before: ${[...names].join(', ')}`,
          source: 'snapshot',
        },
        comesBack: false,
      },
    ];
  });
}

export function accountsOf(texts: Partial<Record<File, Bytes>>): Accounts {
  const of = (file: File): Map<Bytes, Bytes> =>
    new Map(
      (texts[file] ?? '')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => [line.slice(0, line.indexOf(':')), line]),
    );
  return {
    '/etc/passwd': of('/etc/passwd'),
    '/etc/shadow': of('/etc/shadow'),
    '/etc/group': of('/etc/group'),
    '/etc/gshadow': of('/etc/gshadow'),
  };
}

/**
 * Names whose lines agreed before and do not agree now.
 *
 * @param isOurs by a name, and the lowest id that it has or had
 */
export function namesThatDiffer(
  now: Accounts,
  then: Accounts,
  isOurs: (name: Bytes, id: number) => boolean,
): Set<Bytes> {
  const names = new Set<Bytes>();
  const all = new Set([now, then].flatMap((accounts) => FILES.flatMap((file) => [...accounts[file].keys()])));
  for (const name of all) {
    if (agree(now, name) || !agree(then, name)) continue;
    const ids = [now, then].flatMap((accounts) =>
      (['/etc/passwd', '/etc/group'] as const).map((file) =>
        Number(fieldsOf(accounts[file].get(name))[2] ?? NaN),
      ),
    );
    const known = ids.filter((id) => !Number.isNaN(id));
    if (isOurs(name, known.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...known))) names.add(name);
  }
  return names;
}

/** Names whose user is gone and whose group is there: userdel(8) takes both, one file after the other. */
function usersWithoutGroups(now: Accounts, then: Accounts, isRemoved: (name: Bytes) => boolean): Bytes[] {
  return [...then['/etc/passwd'].keys()].filter(
    (name) =>
      !now['/etc/passwd'].has(name) &&
      now['/etc/group'].has(name) &&
      then['/etc/group'].has(name) &&
      isRemoved(name),
  );
}

/** Whether an account is whole: its user in passwd and shadow, its group in group and gshadow with the same members. */
function agree(accounts: Accounts, name: Bytes): boolean {
  const passwd = accounts['/etc/passwd'].get(name);
  const group = accounts['/etc/group'].get(name);
  const gshadow = accounts['/etc/gshadow'].get(name);
  // Systems without shadow files have none at all.
  const hasShadow = accounts['/etc/shadow'].size > 0;
  const hasGshadow = accounts['/etc/gshadow'].size > 0;
  if (hasShadow && (passwd === undefined) !== !accounts['/etc/shadow'].has(name)) return false;
  if (hasGshadow && (group === undefined) !== (gshadow === undefined)) return false;
  if (hasGshadow && group !== undefined && fieldsOf(group)[3] !== fieldsOf(gshadow)[3]) return false;
  if (passwd === undefined) return true;
  const gid = fieldsOf(passwd)[3];
  return [...accounts['/etc/group'].values()].some((line) => fieldsOf(line)[2] === gid);
}

const fieldsOf = (line: Bytes | undefined): Bytes[] => line?.split(':') ?? [];

/** A file's lines with those of some names as they were: changed in place, gone, or at the end where they are missing. */
function rewound(
  now: ReadonlyMap<Bytes, Bytes>,
  then: ReadonlyMap<Bytes, Bytes>,
  names: ReadonlySet<Bytes>,
): Map<Bytes, Bytes> {
  const lines = new Map<Bytes, Bytes>();
  for (const [name, line] of now) {
    const old = names.has(name) ? then.get(name) : line;
    if (old !== undefined) lines.set(name, old);
  }
  for (const [name, line] of then) if (names.has(name) && !now.has(name)) lines.set(name, line);
  return lines;
}

const textOf = (lines: ReadonlyMap<Bytes, Bytes>): Bytes =>
  [...lines.values()].map((line) => `${line}\n`).join('');
