/**
 * What an interrupted transaction left in the tree, and what becomes of it before its packages are installed once more:
 *
 *  - dpkg's temporary names of its packages: a backup whose original is missing goes back to its place, the others
 *    leave, because unpacking makes them anew;
 *  - tracked files (/etc, …) that it damaged get their content of before, and accounts that are half-made their lines;
 *  - tracked files that it made leave their place: scripts that make a file only where there is none would take half a
 *    file for a whole one (facts: readline-common and /etc/inputrc);
 *  - state that it made elsewhere (a half-made /var/lib/mysql) leaves, when its own scripts or archive name the place
 *    and it was born after the beginning. What stood before is never touched.
 *
 * Nothing is guessed about what it made: a path counts only when the filesystem says that it was born later, and of
 * what is tracked only when the snapshot before does not know it either. What the second installation does not make again was somebody
 * else's, and comes back (`comesBack`).
 */

import { lstatSync, readFileSync, type Stats } from 'node:fs';
import { bytesToText } from '../../model/path-text.ts';
import { Kind } from '../../scan/work.ts';
import { type Entry, Origin } from '../../snapshot/entries.ts';
import { type Bytes, fsPath } from '../../system/bytes.ts';
import { namesIn } from '../../system/files.ts';
import { isAccountScratch, isOfAccounts } from '../accounts.ts';
import { looksDamaged } from '../content.ts';
import { damageOf, leadsSomewhere, standingAt, TRACKED_READ_LIMIT } from '../tracked-damage.ts';
import { aside, type Effect, type EffectsInput, isThereAt, putBackTo, targetOf } from './effect.ts';
import { halfAccounts } from './half-accounts.ts';
import { recordsOf } from './records.ts';
import { beginningOf, isBornSince, stateOf } from './state.ts';

/** What is to be done, in order. */
export function planEffects(input: EffectsInput): Effect[] {
  const names = new Names(input);
  const effects = [
    ...leftovers(input),
    ...undiverted(input),
    ...recordsOf(input, names),
    ...halfAccounts(input, names),
    ...trackedBefore(input, names),
    ...trackedSince(input, names),
    ...stateOf(input),
    ...scratch(input),
  ];
  return input.takenBack ? effects.map((effect) => ({ ...effect, comesBack: false })) : effects;
}

/** Of it only what the cut damaged of tracked files, and what nobody needs. */
export function planDamage(input: EffectsInput): Effect[] {
  return [...trackedBefore(input, undefined), ...scratch(input)];
}

/** Which paths the maintainer scripts and archives of the transaction's packages name. */
export class Names {
  readonly #scripts: Bytes;
  readonly #shipped: Set<Bytes>;

  constructor(input: EffectsInput) {
    const { packages, archives, root } = input;
    this.#scripts = [...archives.values()].flatMap(({ scripts }) => scripts).join('\n');
    this.#shipped = new Set(input.ownedBefore);
    for (const pkg of packages) {
      for (const { path } of archives.get(pkg)?.entries ?? []) {
        const found = root.resolve(path);
        this.#shipped.add(path);
        if (found.kind === 'found') this.#shipped.add(found.inside);
      }
    }
  }

  /** Whether their scripts have a text in them: a program's name, a path. */
  inScripts(text: Bytes): boolean {
    return this.#scripts.includes(text);
  }

  /** Whether a path is literally theirs. Accounts are everybody's, and only their own tools write them. */
  has(path: Bytes): boolean {
    return this.#shipped.has(path) || (this.#scripts.includes(path) && !isOfAccounts(path));
  }

  /**
   * Whether it may be theirs, of a path that was not there before. Scripts often put one together from variables: then
   * its last component is all that stands there.
   */
  mayHave(path: Bytes): boolean {
    const name = path.slice(path.lastIndexOf('/') + 1);
    return this.has(path) || (name.length >= 4 && this.#scripts.includes(name));
  }
}

/**
 * What programs of maintainer scripts have beside a file while they write it, and what nobody makes anew under that name:
 * sed -i, mktemp(1), ldconfig(8), deb-systemd-helper(1p), update-shells(8), update-ca-certificates(8),
 * update-initramfs(8).
 */
const HALVES = new RegExp(
  [
    /\/sed[A-Za-z0-9]{6}$/,
    /\/tmp\.[A-Za-z0-9]{10}$/,
    /\/ld\.so\.cache~$/,
    /\/\.state[A-Za-z0-9]{5}\.tmp$/,
    /^\/etc\/shells\.tmp$/,
    /^\/etc\/ssl\/certs\/ca-certificates\.crt\.new$/,
    /^\/boot\/initrd\.img-.+\.(?:new|dpkg-bak)$/,
  ]
    .map(({ source }) => source)
    .join('|'),
);

/** A service's link in a runlevel (update-rc.d(8)). */
const RUNLEVEL = /^\/etc\/rc[0-6S]\.d\/[SK]\d\d(.+)$/;

/**
 * What programs make under names of their own in places that outlast a boot, and nobody takes away when the power goes:
 * mkinitramfs(8) in its DESTDIR, hundreds of megabytes perhaps, and apt, which writes its marks beside the file
 * (apt-pkg/depcache.cc, writeStateFile).
 */
const SCRATCH = [
  {
    directory: '/var/tmp',
    names: /^mkinitramfs[-_]/,
    reason: 'an initramfs was being built there when the power went',
  },
  {
    directory: '/var/lib/apt',
    // mkstemp(3)'s, and no word such as "backup".
    names: /^extended_states\.(?=.*[A-Z0-9])[A-Za-z0-9]{6}$/,
    reason: 'apt was writing its marks there when the power went',
  },
];

function scratch({ root, before, crashed }: EffectsInput): Effect[] {
  if (!crashed) return [];
  return SCRATCH.flatMap(({ directory, names, reason }) => {
    const found = root.resolveDirectory(directory);
    if (found.kind !== 'found') return [];
    return namesIn(found.host)
      .filter((name) => names.test(name))
      .flatMap((name) => {
        const stat = lstatSync(fsPath(`${found.host}/${name}`), { throwIfNoEntry: false });
        if (stat === undefined || !isBornSince(stat, beginningOf(before))) return [];
        return [aside(`${found.inside}/${name}`, reason)];
      });
  });
}

function leftovers(input: EffectsInput): Effect[] {
  const { root } = input;
  const diverted = new Map(input.diversions.map(({ from, to }) => [from, to]));
  const effects: Effect[] = [];
  for (const path of allPaths(input)) {
    for (const name of [path, diverted.get(path)]) {
      if (name === undefined) continue;
      const found = root.resolve(name);
      if (found.kind !== 'found') continue;
      const { inside, host } = found;
      const there = isThereAt(host);
      for (const suffix of ['.dpkg-tmp', '.dpkg-remove', '.dpkg-backup']) {
        if (!isThereAt(host + suffix)) continue;
        // A maintainer script moves a conffile aside and takes it away when the package is configured.
        const returns = !there && (suffix === '.dpkg-tmp' || input.before.find(inside) !== undefined);
        effects.push(
          returns
            ? {
                action: { kind: 'rename', from: inside + suffix, to: inside },
                why: {
                  reason: `the only copy of ${bytesToText(inside)}, which the interrupted installation had moved aside`,
                },
                comesBack: false,
              }
            : aside(
                inside + suffix,
                'an old version that the interrupted installation had not yet taken away',
              ),
        );
        if (returns) break;
      }
      for (const suffix of ['.dpkg-new', '.dpkg-divert.tmp', '.dpkg-staging-dir']) {
        if (isThereAt(host + suffix))
          effects.push(
            aside(inside + suffix, 'a new version that was not put in place; it is unpacked once more'),
          );
      }
    }
  }
  return effects;
}

/** `dpkg-divert … --divert TO FROM` without variables, over lines that go on. */
const DIVERT =
  /dpkg-divert\b(?:[^\\\n;&|]|\\\n)*?--divert(?:\s|\\\n|=)+(\/[\w./+@-]+)(?:[^\\\n;&|]|\\\n)*?[ \t](\/[\w./+@-]+)[ \t]*$/gm;

/**
 * Files that a script had moved to where a diversion leads, and dpkg's table has none: a disk lost that. dpkg-divert(1)
 * refuses to move another one there.
 */
function undiverted({ root, before, archives, crashed, diversions, ownedByOthers }: EffectsInput): Effect[] {
  if (!crashed) return [];
  return [...archives.values()]
    .flatMap(({ scripts }) => scripts)
    .flatMap((script) => [...script.matchAll(DIVERT)])
    .flatMap(([, to = '', from = '']): Effect[] => {
      const target = root.resolve(to);
      const source = root.resolve(from);
      if (target.kind !== 'found' || source.kind !== 'found' || ownedByOthers(target.inside)) return [];
      if (diversions.some((one) => one.to === to) || before.find(target.inside) !== undefined) return [];
      const stat = lstatSync(fsPath(target.host), { throwIfNoEntry: false });
      if (stat === undefined || stat.ctimeMs < beginningOf(before)) return [];
      const reason = `the interrupted installation had moved ${bytesToText(from)} there, and no diversion leads there`;
      return isThereAt(source.host)
        ? [aside(target.inside, reason, true)]
        : [
            {
              action: { kind: 'rename', from: target.inside, to: source.inside },
              why: { reason },
              comesBack: false,
            },
          ];
    });
}

function* allPaths({ ownedBefore, archives, packages }: EffectsInput): Iterable<Bytes> {
  const seen = new Set<Bytes>();
  for (const path of ownedBefore) {
    if (!seen.has(path)) yield path;
    seen.add(path);
  }
  for (const pkg of packages) {
    for (const { path } of archives.get(pkg)?.entries ?? []) {
      if (!seen.has(path)) yield path;
      seen.add(path);
    }
  }
}

/**
 * What was tracked before and is not what it was.
 *
 * @param names of the packages that are installed once more; without any, nothing that is missing is missed
 */
function trackedBefore(input: EffectsInput, names: Names | undefined): Effect[] {
  const { root, before, xxh64 } = input;
  const context = { root, contentOf: (entry: Entry) => before.contentOf(entry), xxh64 };
  const effects: Effect[] = [];
  for (const entry of before.tracked()) {
    if (entry.kind !== Kind.file && entry.kind !== Kind.link) continue;
    const stat = standingAt(root, entry.path);
    if (stat === 'elsewhere') continue;
    if (entry.kind === Kind.link) {
      if (entry.target === null || names?.has(entry.path) !== true) continue;
      if (stat?.isSymbolicLink() === true && targetOf(root.hostPath(entry.path)) === entry.target) continue;
      if (stat !== undefined && !stat.isSymbolicLink()) continue;
      effects.push({
        action: { kind: 'link', path: entry.path, target: entry.target, attributes: entry },
        why: { reason: 'the link as it was before the interrupted installation', source: 'snapshot' },
        comesBack: false,
      });
      continue;
    }
    if (stat === undefined) {
      if (names?.has(entry.path) === true)
        effects.push(...putBackTo(before, entry, 'it was taken away by the interrupted installation'));
      continue;
    }
    if (!input.crashed && (!stat.isFile() || isSame(stat, entry))) continue;
    const damage = damageOf(context, entry, stat);
    // Sound content may be somebody's edit of a minute ago (I3), and scripts and dpkg do their part again all the same.
    if (damage === undefined) continue;
    effects.push(...putBackTo(before, entry, `it is ${damage} since the interrupted installation`));
  }
  return effects;
}

function isSame(stat: Stats, { ino, size, mtime }: Entry): boolean {
  return stat.ino === ino && stat.size === size && stat.mtimeMs === mtime;
}

/** What is tracked and was not there before. */
function trackedSince(input: EffectsInput, names: Names): Effect[] {
  const { root, before } = input;
  const effects: Effect[] = [];
  for (const path of input.tracked) {
    if (before.find(path) !== undefined || input.ownedByOthers(path)) continue;
    const host = root.hostPath(path);
    const stat = lstatSync(fsPath(host), { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (input.crashed && HALVES.test(path) && isBornSince(stat, beginningOf(before))) {
      effects.push(aside(path, 'the program that wrote it was stopped before it put it in place'));
      continue;
    }
    // Where a script wants a file, one that leads nowhere stops it, or has it write somewhere else. Among files that the
    // snapshot knows, however old it looks: a disk that loses what it wrote to its inodes leaves those of other times under
    // new names. Elsewhere it may only be that nothing was tracked then (I2).
    const isLost = stat.isSymbolicLink() && names.has(path) && !leadsSomewhere(root, path, stat);
    if (isLost && input.crashed && (isBornSince(stat, beginningOf(before)) || isKnownPlace(before, path))) {
      effects.push(aside(path, 'it was not there before, and leads nowhere', true));
      continue;
    }
    // update-rc.d(8) makes none where there is one, as many as they may be.
    const service = stat.isSymbolicLink() ? RUNLEVEL.exec(path)?.[1] : undefined;
    if (service !== undefined && names.mayHave(`/etc/init.d/${service}`)) {
      if (input.crashed && isBornSince(stat, beginningOf(before)))
        effects.push(
          aside(path, 'the interrupted installation made it, and makes all of them once more', true),
        );
      continue;
    }
    if (!stat.isFile() || stat.size > TRACKED_READ_LIMIT) continue;
    // A snapshot that knew less (another configuration, its limit) is no proof that a file was not there.
    if (!isBornSince(stat, beginningOf(before))) continue;
    const damage = looksDamaged(readFileSync(fsPath(host)));
    if (isAccountScratch(path)) effects.push(aside(path, 'a program that changes accounts was stopped'));
    else if (damage !== undefined)
      effects.push(aside(path, `the interrupted installation made it, and it is ${damage}`, true));
    else if (input.crashed || names.mayHave(path))
      effects.push(aside(path, 'the interrupted installation made it, and makes it once more', true));
  }
  return effects;
}

/** Whether the snapshot tracks files of the same directory, and would know this one if it had stood there. */
function isKnownPlace(before: EffectsInput['before'], path: Bytes): boolean {
  const directory = path.slice(0, path.lastIndexOf('/'));
  return before
    .below(directory)
    .some(
      (entry) => (entry.origin & Origin.tracked) !== 0 && !entry.path.includes('/', directory.length + 1),
    );
}
