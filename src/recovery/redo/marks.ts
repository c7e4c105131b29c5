/**
 * Automatic marks (apt-mark(8)) as an uninterrupted run would have set them. apt writes them after dpkg has ended, so
 * those of an interrupted run are on no disk; its hook protocol does not tell them either. They follow from the command:
 * what a person names is manual, what comes along is automatic. A front end without a command line that can be read
 * (PackageKit, a library) leaves one way: what another package of the same run depends on came along.
 */

import { parseDeb822 } from '../../dpkg/deb822.ts';
import type { IntendedPackageRecord, TransactionRun } from '../../model/transaction.ts';
import type { Bytes } from '../../system/bytes.ts';

/** Programs whose command lines name packages the way apt-get(8) does. */
const APT = new Set(['apt', 'apt-get', 'aptitude', 'nala']);
const NAMES_PACKAGES = new Set([
  'install',
  'reinstall',
  'full-upgrade',
  'dist-upgrade',
  'safe-upgrade',
  'upgrade',
  'remove',
  'purge',
  'build-dep',
  'satisfy',
  'autoremove',
  'autopurge',
]);

export interface Command {
  /** What it does: `install`, `remove`, …; undefined when it is no command of apt's. */
  readonly verb: string | undefined;
  /** Its words behind the verb that are no options. */
  readonly words: readonly string[];
  readonly purge: boolean;
}

/** @param argv the process's own command line; an interpreter in front of a script is passed over */
export function parseAptCommand(argv: readonly string[]): Command {
  const at = argv.slice(0, 3).findIndex((word) => APT.has(word.slice(word.lastIndexOf('/') + 1)));
  if (at < 0) return { verb: undefined, words: [], purge: false };
  let verb: string | undefined;
  let purge = false;
  const words: string[] = [];
  let options = true;
  for (let index = at + 1; index < argv.length; index += 1) {
    const word = argv[index] ?? '';
    if (options && word.startsWith('-')) {
      if (word === '--') options = false;
      if (word === '--purge') purge = true;
      // Options that take the next word (apt-get(8)).
      if (
        [
          '-o',
          '--option',
          '-c',
          '--config-file',
          '-t',
          '--target-release',
          '--default-release',
          '-a',
          '--host-architecture',
          '-P',
          '--build-profiles',
        ].includes(word)
      )
        index += 1;
    } else if (verb === undefined) verb = word;
    else words.push(word);
  }
  return { verb, words, purge: purge || verb === 'purge' || verb === 'autopurge' };
}

/** Whether a run was to purge what it removes; apt's protocol does not tell, its command line and dpkg's do. */
export function isPurge({ source, command }: Pick<TransactionRun, 'source' | 'command'>): boolean {
  return source === 'dpkg'
    ? command.some((word) => word === '--purge' || /^-[A-Za-z]*P/.test(word))
    : parseAptCommand(command).purge;
}

/** Names of newly installed packages that are to be automatic; the others are manual. */
export function automaticOf(
  argv: readonly string[],
  fresh: readonly IntendedPackageRecord[],
  dependsOf: (record: IntendedPackageRecord) => readonly Bytes[],
): IntendedPackageRecord[] {
  const { verb, words } = parseAptCommand(argv);
  if (verb !== undefined && NAMES_PACKAGES.has(verb)) {
    return fresh.filter((record) => !words.some((word) => isNamed(word, record)));
  }
  const needed = new Set(fresh.flatMap((record) => dependsOf(record)));
  return fresh.filter(({ name }) => needed.has(name));
}

/** `name`, `name:arch`, `name=version`, `name/suite`, `name+`, a path of an archive, or a regular expression (apt-get(8), install). */
export function isNamed(word: string, { name, architecture, archive }: IntendedPackageRecord): boolean {
  if (word.includes('/') && word.endsWith('.deb')) {
    const file = word.slice(word.lastIndexOf('/') + 1);
    return archive !== undefined && archive.path.slice(archive.path.lastIndexOf('/') + 1) === file;
  }
  const bare = word.replace(/[=/].*$/, '').replace(/(?<=.{2})[+]$/, '');
  if (bare === name || bare === `${name}:${architecture}`) return true;
  if (word === `${name}`) return true;
  if (!/[.?*[\]^$|]/.test(bare)) return false;
  try {
    // A pattern of a shell's or a regular expression, whichever fits: apt takes both.
    const glob = new RegExp(
      `^${bare
        .replace(/[.+^$()|\\]/g, '\\$&')
        .replaceAll('*', '.*')
        .replaceAll('?', '.')}$`,
    );
    return glob.test(name) || new RegExp(bare).test(name);
  } catch {
    return false;
  }
}

/** Names that a control stanza's Depends, Pre-Depends and Recommends mention. */
export function relatedNames(stanza: Bytes): Bytes[] {
  const fields = parseDeb822(stanza).stanzas[0]?.fields;
  return ['depends', 'pre-depends', 'recommends'].flatMap((field) =>
    (fields?.get(field) ?? '')
      .split(/[,|]/)
      .flatMap((relation) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(relation)?.[1] ?? []),
  );
}
