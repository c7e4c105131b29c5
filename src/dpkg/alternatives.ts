/**
 * The alternatives database (update-alternatives(1), utils/update-alternatives.c): for each group its mode, its master
 * link and slaves, and the choices with their priorities. It is the only part of dpkg's database that says where
 * symbolic links have to point.
 */
import type { Bytes } from '../system/bytes.ts';

export interface AlternativeLink {
  /** Name of the link in /etc/alternatives. */
  readonly name: Bytes;
  /** The path that users call, which points to /etc/alternatives/NAME. */
  readonly link: Bytes;
}

export interface AlternativeChoice {
  readonly file: Bytes;
  readonly priority: number;
  /** The slaves' files, in the order of `slaves`; empty where this choice has none. */
  readonly slaveFiles: readonly Bytes[];
}

export interface Alternative {
  readonly mode: 'auto' | 'manual';
  readonly master: AlternativeLink;
  readonly slaves: readonly AlternativeLink[];
  readonly choices: readonly AlternativeChoice[];
}

/**
 * Parses one file of /var/lib/dpkg/alternatives.
 *
 * @param name the file's name, which is the group's
 * @returns undefined when any of it is damaged: half a group can't be told from a whole one
 */
export function parseAlternative(data: Bytes, name: Bytes): Alternative | undefined {
  if (!data.endsWith('\n') || data.includes('\0')) return undefined;
  const lines = data.split('\n');
  let at = 0;
  const next = (): Bytes | undefined => lines[at++];
  const mode = next();
  const link = next();
  if ((mode !== 'auto' && mode !== 'manual') || link === undefined || !link.startsWith('/')) return undefined;
  const slaves: AlternativeLink[] = [];
  for (let slave = next(); slave !== ''; slave = next()) {
    const slaveLink = next();
    if (slave === undefined || slaveLink === undefined || !slaveLink.startsWith('/')) return undefined;
    slaves.push({ name: slave, link: slaveLink });
  }
  const choices: AlternativeChoice[] = [];
  for (let file = next(); file !== ''; file = next()) {
    const priority = next();
    if (file === undefined || priority === undefined || !file.startsWith('/') || !/^-?\d+$/.test(priority)) {
      return undefined;
    }
    const slaveFiles: Bytes[] = [];
    for (const _ of slaves) {
      const slaveFile = next();
      if (slaveFile === undefined || (slaveFile !== '' && !slaveFile.startsWith('/'))) return undefined;
      slaveFiles.push(slaveFile);
    }
    choices.push({ file, priority: Number(priority), slaveFiles });
  }
  return { mode, master: { name, link }, slaves, choices };
}

/** The choice that automatic mode takes: the highest priority, and of equals the first. */
export function bestChoice(alternative: Alternative): AlternativeChoice | undefined {
  let best: AlternativeChoice | undefined;
  for (const choice of alternative.choices)
    if (best === undefined || choice.priority > best.priority) best = choice;
  return best;
}
