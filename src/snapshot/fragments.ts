/**
 * The configuration fragments that make apt and dpkg call the hooks (apt.conf(5), dpkg.cfg(5)). They are written so that
 * an installation goes on whatever becomes of debmend: with the program gone, failing or too slow (I9). With the policy
 * `enforce` a failing hook stops apt before it changes anything; a missing program does not even then.
 */
import { accessSync, constants, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Config } from '../config/settings.ts';
import { bufferOf } from '../system/bytes.ts';
import { syncDirectory, writeDurably } from '../system/durable.ts';
import { DebmendError, errnoOf, messageOf } from '../system/errors.ts';
import type { Root } from '../system/root.ts';

export interface Fragment {
  /** Inside the root. */
  readonly path: string;
  readonly text: string;
}

export type FragmentState = 'installed' | 'missing' | 'different';

/** apt reads the files of this directory in order, and ours is to be the last: others may still refuse before it. */
const APT_FILE = '/etc/apt/apt.conf.d/99debmend';
/** dpkg takes names of letters, digits, `_` and `-` only (lib/dpkg/options-dirs.c). */
const DPKG_FILE = '/etc/dpkg/dpkg.cfg.d/debmend';

/**
 * The fragments.
 *
 * @param program the hook's program inside the root, debmend-hook
 */
export function fragments(program: string, config: Config['hooks']): Fragment[] {
  const limit = Math.ceil(config.timeLimit);
  const call = (hook: string): string => `if [ -x ${program} ]; then ${program} ${hook} ${limit}; fi`;
  // apt finds the options of a hook by the first word of its line, so a test cannot stand before the program. The shell
  // says that a program is missing on standard error; the program itself speaks on standard output.
  const strict = config.policy === 'enforce';
  const guard = strict ? `[ ! -x ${program} ]` : 'true';
  const dpkgGuard = strict ? '' : ' || true';
  return [
    {
      path: APT_FILE,
      text: `// Made by 'debmend hooks install'; 'debmend hooks remove' takes it away.
DPkg::Pre-Install-Pkgs { "${program} apt-pre ${limit} 2>/dev/null || ${guard}"; };
DPkg::Tools::Options::${program}::Version "3";
DPkg::Tools::Options::${program}::InfoFD "20";
DPkg::Post-Invoke { "${call('apt-post')} || true"; };
APT::Update::Post-Invoke-Success { "${call('apt-update')} || true"; };
`,
    },
    {
      path: DPKG_FILE,
      text: `# Made by 'debmend hooks install'; 'debmend hooks remove' takes it away.
pre-invoke=${call('dpkg-pre')}${dpkgGuard}
post-invoke=${call('dpkg-post')} || true
status-logger=exec >/dev/null 2>&1; if [ -x ${program} ]; then ${program} dpkg-status; fi; cat
`,
    },
  ];
}

/**
 * Writes the fragments.
 *
 * @throws DebmendError `hooks-unwritable` when one cannot be written, or the program has a name that no shell line takes
 */
export function installFragments(root: Root, program: string, config: Config['hooks']): Fragment[] {
  if (!/^\/[A-Za-z0-9_./+-]+$/.test(program)) {
    throw new DebmendError(
      'hooks-unwritable',
      `installing hooks that call ${program}: the path has characters that a shell would take for its own`,
      'put debmend into a directory such as /usr/lib/debmend',
    );
  }
  try {
    accessSync(hostOf(root, program), constants.X_OK);
  } catch (error) {
    throw new DebmendError(
      'hooks-unwritable',
      `installing hooks that call ${program}: ${errnoOf(error) ?? messageOf(error)}`,
      'hooks run inside the root: install debmend there, and name its debmend-hook with --program',
      error,
    );
  }
  const all = fragments(program, config);
  for (const { path, text } of all) {
    const file = hostOf(root, path);
    try {
      mkdirSync(dirname(file), { recursive: true });
      writeDurably(file, text);
    } catch (error) {
      throw new DebmendError(
        'hooks-unwritable',
        `writing ${path}: ${errnoOf(error) ?? messageOf(error)}`,
        'run it as root, on a system that is mounted for writing',
        error,
      );
    }
  }
  return all;
}

/** Takes the fragments away. @returns those that were there @throws DebmendError `hooks-unwritable` */
export function removeFragments(root: Root): string[] {
  return [APT_FILE, DPKG_FILE].filter((path) => {
    const file = hostOf(root, path);
    try {
      rmSync(file);
      syncDirectory(dirname(file));
      return true;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      throw new DebmendError(
        'hooks-unwritable',
        `removing ${path}: ${errnoOf(error) ?? messageOf(error)}`,
        'run it as root, on a system that is mounted for writing',
        error,
      );
    }
  });
}

/** Whether each fragment is there and is what would be installed now. */
export function fragmentStates(
  root: Root,
  program: string,
  config: Config['hooks'],
): { path: string; state: FragmentState }[] {
  return fragments(program, config).map(({ path, text }) => {
    try {
      return { path, state: readFileSync(hostOf(root, path), 'utf8') === text ? 'installed' : 'different' };
    } catch {
      return { path, state: 'missing' };
    }
  });
}

/** The path of this host for a fragment; its parents are resolved inside the root (I7). */
function hostOf(root: Root, path: string): string {
  const found = root.resolve(path);
  return bufferOf(found.kind === 'found' ? found.host : root.hostPath(path)).toString('utf8');
}
