/**
 * The face of this folder: debmend's systemd units in a root.
 *
 * A unit is enabled by a link in the target's .wants directory (systemd.unit(5)), which is all that `systemctl enable`
 * makes for these. The links are made here: systemctl syncs nothing, follows links out of a root, and is missing on a
 * rescue system; and what it takes for the running system is not always the root that was meant.
 */
import { lstatSync, mkdirSync, readFileSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { bufferOf } from '../system/bytes.ts';
import { syncDirectory, writeDurably } from '../system/durable.ts';
import { DebmendError, errnoOf, messageOf } from '../system/errors.ts';
import { Root } from '../system/root.ts';
import { isOurs, type Unit, units } from './units.ts';

/** The administrator's directory: it comes before /usr/lib/systemd/system (systemd.unit(5)). */
const DIRECTORY = '/etc/systemd/system';
const HINT = 'run it as root, on a system that is mounted for writing';

/**
 * `installed`: what would be installed now. `different`: of another version or another place, or changed. `foreign`: not
 * made by debmend, or masked; it is never touched.
 */
export type UnitFileState = 'installed' | 'missing' | 'different' | 'foreign';

export interface UnitState {
  readonly name: string;
  /** Inside the root. */
  readonly path: string;
  readonly state: UnitFileState;
  /** Whether its targets start it; undefined for what only a timer starts. */
  readonly enabled: boolean | undefined;
}

/**
 * Writes the units and enables them. Nothing is written when one of them cannot be.
 *
 * @param home debmend's directory as the root sees it
 * @returns paths that were written, inside the root
 * @throws DebmendError `services-unwritable` when the programs are not there, a foreign file stands in a unit's place, or
 * something cannot be written
 */
export function installUnits(root: Root, home: string): string[] {
  checkPrograms(root, home);
  const all = shipped(home);
  for (const { path, state } of unitStates(root, home)) {
    if (state !== 'foreign') continue;
    throw unwritable(
      `installing ${path}: a file that debmend did not make stands there`,
      'move it away, or unmask the unit, if debmend’s own is to be used',
    );
  }
  makeDirectory(root, DIRECTORY);
  return all.flatMap((unit) => {
    const path = `${DIRECTORY}/${unit.name}`;
    guard(`writing ${path}`, () => writeDurably(hostOf(root, path), unit.text));
    return [path, ...unit.wantedBy.flatMap((target) => link(root, unit, target))];
  });
}

/**
 * Disables the units and takes them away; what debmend did not make stays.
 *
 * @returns paths that are gone, inside the root
 * @throws DebmendError `services-unwritable`
 */
export function removeUnits(root: Root): string[] {
  return shipped('/').flatMap((unit) => {
    const path = `${DIRECTORY}/${unit.name}`;
    // Read once more for each: what stands there decides, not what an earlier run wrote.
    const state = fileState(root, { ...unit, text: '' });
    if (state === 'foreign') return [];
    const ours = state === 'different';
    const links = unit.wantedBy
      .filter((target) => isEnabled(root, unit, target))
      .map((target) => {
        unlink(root, linkPath(unit, target));
        removeEmpty(root, wantsDirectory(target));
        return linkPath(unit, target);
      });
    // The file last: until then a run that was cut finds what is left to do.
    if (ours) unlink(root, path);
    return ours ? [...links, path] : links;
  });
}

/** What there is of each unit. @param home debmend's directory as the root sees it */
export function unitStates(root: Root, home: string): UnitState[] {
  return shipped(home).map((unit) => ({
    name: unit.name,
    path: `${DIRECTORY}/${unit.name}`,
    state: fileState(root, unit),
    enabled:
      unit.wantedBy.length === 0 ? undefined : unit.wantedBy.every((target) => isEnabled(root, unit, target)),
  }));
}

function shipped(home: string): Unit[] {
  return guard('reading the units of this installation', () => units(home), 'install debmend anew');
}

/** systemd takes no shell's quoting in ExecStart=, `%` and `$` are its own, and a unit of a missing program does nothing. */
function checkPrograms(root: Root, home: string): void {
  if (!/^\/[A-Za-z0-9_./+-]+$/.test(home)) {
    throw unwritable(
      `installing services that call ${home}: the path has characters that systemd would take for its own`,
      'put debmend into a directory such as /usr/lib/debmend',
    );
  }
  for (const name of ['debmend', 'debmend-marker']) {
    const path = `${home}/bin/${name}`;
    const found = root.resolveFully(path);
    const mode = found.kind === 'found' ? modeOf(found.host) : undefined;
    if (mode !== undefined && (mode & 0o111) !== 0) continue;
    throw unwritable(
      `installing services that call ${path}: there is no such program inside the root`,
      'services run inside the root: install debmend there, and name its program with --program (default in a foreign root: /usr/lib/debmend/bin/debmend)',
    );
  }
}

function modeOf(host: string): number | undefined {
  try {
    const stat = lstatSync(bufferOf(host));
    return stat.isFile() ? stat.mode : undefined;
  } catch {
    return undefined;
  }
}

function fileState(root: Root, { name, text }: Unit): UnitFileState {
  try {
    const host = hostOf(root, `${DIRECTORY}/${name}`);
    // Not a file: a link, which masks the unit or brings it from elsewhere.
    if (!lstatSync(host).isFile()) return 'foreign';
    const present = readFileSync(host, 'utf8');
    if (present === text) return 'installed';
    return isOurs(present) ? 'different' : 'foreign';
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'missing';
    throw unwritable(`looking at ${DIRECTORY}/${name}: ${reason(error)}`, HINT, error);
  }
}

const wantsDirectory = (target: string): string => `${DIRECTORY}/${target}.wants`;
const linkPath = ({ name }: Unit, target: string): string => `${wantsDirectory(target)}/${name}`;

/** Any link of the unit's name enables it, wherever it points: systemd goes by the name (systemd.unit(5)). */
function isEnabled(root: Root, unit: Unit, target: string): boolean {
  try {
    return lstatSync(hostOf(root, linkPath(unit, target))).isSymbolicLink();
  } catch {
    return false;
  }
}

function link(root: Root, unit: Unit, target: string): string[] {
  if (isEnabled(root, unit, target)) return [];
  const path = linkPath(unit, target);
  makeDirectory(root, wantsDirectory(target));
  guard(`enabling ${unit.name} by ${path}`, () => {
    symlinkSync(`${DIRECTORY}/${unit.name}`, hostOf(root, path));
    syncDirectory(hostOf(root, wantsDirectory(target)));
  });
  return [path];
}

function unlink(root: Root, path: string): void {
  guard(`removing ${path}`, () => {
    unlinkSync(hostOf(root, path));
    syncDirectory(hostOf(root, path.slice(0, path.lastIndexOf('/'))));
  });
}

/** As `systemctl disable` leaves it: no directory that nothing is in. */
function removeEmpty(root: Root, directory: string): void {
  try {
    rmdirSync(hostOf(root, directory));
    syncDirectory(hostOf(root, DIRECTORY));
  } catch {
    // Others have links in it, or it is a link itself.
  }
}

/** Makes what is missing of a directory, one by one, each made durable in the one above. */
function makeDirectory(root: Root, directory: string): void {
  const names = directory.slice(1).split('/');
  names.forEach((_, at) => {
    const path = `/${names.slice(0, at + 1).join('/')}`;
    guard(`making ${path}`, () => {
      // A new Root each time, because one keeps what it saw, and this changes it.
      const found = new Root(root.path).resolveDirectory(path);
      if (found.kind === 'found') return;
      const host = hostOf(root, path);
      mkdirSync(host, { mode: 0o755 });
      syncDirectory(host.slice(0, host.lastIndexOf('/')) || '/');
    });
  });
}

/**
 * The path of this host; the parents are resolved inside the root, and the last component never followed (I7).
 *
 * @throws an error with the code of what stood in the way
 */
function hostOf(root: Root, path: string): string {
  const found = new Root(root.path).resolve(path);
  if (found.kind === 'found') return bufferOf(found.host).toString('utf8');
  throw Object.assign(new Error(`${found.errno}: ${found.at}`), { code: found.errno });
}

function guard<T>(what: string, work: () => T, hint = HINT): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof DebmendError) throw error;
    throw unwritable(`${what}: ${reason(error)}`, hint, error);
  }
}

function reason(error: unknown): string {
  return errnoOf(error) ?? messageOf(error);
}

function unwritable(message: string, hint: string, cause?: unknown): DebmendError {
  return new DebmendError('services-unwritable', message, hint, cause);
}
