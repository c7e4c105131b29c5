/**
 * What a dpkg command line is going to do (dpkg(1), ACTIONS and OPTIONS): a dpkg hook is told nothing else. Options that
 * take a value as a word of its own are known, so that it is not taken for a package.
 */
import { readdirSync } from 'node:fs';
import { type Bytes, bytesFromText, bytesOf, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import type { IntendedPackage } from './apt-hook.ts';
import { parseArchiveName } from './deb.ts';

export interface DpkgCommand {
  readonly action: 'unpack' | 'configure' | 'remove' | 'triggers' | 'none';
  /** Archives of an unpack, else packages; as on the command line. */
  readonly words: readonly Bytes[];
  /** The archives are all those below the directories that `words` names. */
  readonly recursive: boolean;
  /** It works on whatever is pending. */
  readonly pending: boolean;
}

const ACTIONS: ReadonlyMap<string, DpkgCommand['action']> = new Map([
  ['-i', 'unpack'],
  ['--install', 'unpack'],
  ['--unpack', 'unpack'],
  ['--configure', 'configure'],
  ['--triggers-only', 'triggers'],
  ['-r', 'remove'],
  ['--remove', 'remove'],
  ['-P', 'remove'],
  ['--purge', 'remove'],
]);
const WITH_VALUE: ReadonlySet<string> = new Set([
  '--admindir',
  '--instdir',
  '--root',
  '--status-fd',
  '--abort-after',
  '--log',
  '--debug',
  '-D',
]);
/** Short options that may stand in one word, without a value. */
const SHORT = /^-[A-Za-z]+$/;

/** Reads the arguments of dpkg, its own name first. */
export function parseDpkgCommand(argv: readonly string[]): DpkgCommand {
  let action: DpkgCommand['action'] = 'none';
  let recursive = false;
  let pending = false;
  const words: Bytes[] = [];
  let options = true;
  for (let at = 1; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (!options || !word.startsWith('-') || word === '-') {
      words.push(bytesFromText(word));
      continue;
    }
    if (word === '--') options = false;
    else if (WITH_VALUE.has(word)) at += 1;
    else if (ACTIONS.has(word)) action = ACTIONS.get(word) ?? action;
    else if (word === '--recursive') recursive = true;
    else if (word === '--pending') pending = true;
    else if (SHORT.test(word)) {
      for (const letter of word.slice(1)) {
        action = ACTIONS.get(`-${letter}`) ?? action;
        if (letter === 'R') recursive = true;
        if (letter === 'a') pending = true;
      }
    }
  }
  return { action, words, recursive, pending };
}

/**
 * What it means for packages.
 *
 * @param directory where dpkg was started, inside the root; relative archives are looked for there
 */
export function intendedByCommand(root: Root, command: DpkgCommand, directory: Bytes): IntendedPackage[] {
  switch (command.action) {
    case 'unpack':
      return archivesOf(root, command, directory).map((archive) => {
        const known = parseArchiveName(archive);
        return {
          name: known?.name ?? archive.slice(archive.lastIndexOf('/') + 1),
          architecture: known?.architecture,
          multiArch: undefined,
          action: 'install',
          oldVersion: undefined,
          newVersion: undefined, // the control archive tells: a file may be called anything
          archive,
        };
      });
    case 'configure':
    case 'remove': {
      const { action } = command;
      return command.words.map((word) => {
        const [name = word, architecture] = word.split(':', 2);
        return {
          name,
          architecture,
          multiArch: undefined,
          action,
          oldVersion: undefined,
          newVersion: undefined,
          archive: undefined,
        };
      });
    }
    case 'triggers':
    case 'none':
      return [];
  }
}

function archivesOf(root: Root, { words, recursive }: DpkgCommand, directory: Bytes): Bytes[] {
  const absolute = words.map((word) => (word.startsWith('/') ? word : `${directory}/${word}`));
  return recursive ? absolute.flatMap((path) => below(root, path)) : absolute;
}

/** Archives below a directory, as dpkg finds them (src/main/archives.c, archivefiles: `find -name '*.deb' -type f`). */
function below(root: Root, path: Bytes): Bytes[] {
  const found = root.resolveDirectory(path);
  if (found.kind === 'unreachable') return [];
  try {
    return readdirSync(fsPath(found.host), { encoding: 'buffer', recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${bytesOf(Buffer.from(entry.parentPath))}/${bytesOf(entry.name)}`)
      .filter((host) => host.endsWith('.deb'))
      .map((host) => host.slice(root.prefix.length))
      .sort();
  } catch {
    return [];
  }
}
