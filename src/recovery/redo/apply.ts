/** Doing what redo.ts found: the tree and dpkg's records back to before, then the same installation once more. */
import { parseDpkgCommand } from '../../dpkg/command-line.ts';
import { parseDeb822 } from '../../dpkg/deb822.ts';
import { packageOf, stanzasOf } from '../../dpkg/selection.ts';
import { bytesToText, textToPath } from '../../model/path-text.ts';
import type { IntendedPackageRecord, TransactionRun } from '../../model/transaction.ts';
import type { Store } from '../../snapshot/store.ts';
import { type Bytes, bufferOf, bytesFromText, bytesOf } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import type { ActionRecord, Run } from '../actions.ts';
import { usersOf } from '../busy.ts';
import type { Installer } from '../install.ts';
import { listQuarantine, putBack } from '../quarantine.ts';
import { EXTENDED_STATES } from './database.ts';
import { bringsFiles, type RedoPackage } from './decide.ts';
import { isThereAt } from './effect.ts';
import { PLACEHOLDER } from './held.ts';
import { automaticOf, isNamed, isPurge, parseAptCommand, relatedNames } from './marks.ts';
import type { Redo } from './redo.ts';

export interface RedoTools {
  readonly root: Root;
  readonly store: Store;
  readonly run: Run;
  readonly installer: Installer;
}

/** @returns what was done, and what went wrong on the way; whether the end is right is for the next look (I11) */
export async function applyRedo(
  { root, store, run, installer }: RedoTools,
  redo: Redo,
): Promise<{ actions: ActionRecord[]; problems: string[] }> {
  const { id } = redo.transaction;
  // An earlier try may have been cut before it came to the end, where what has to come back does.
  const away = asideBefore(store, root, id);
  const actions: ActionRecord[] = [];
  run.note(`the interrupted installation ${id} is ${redo.takenBack ? 'taken back' : 'done once more'}`);
  const { stopped, inUse } = await stopUsers(root, redo, installer);
  for (const { action, why, comesBack } of redo.effects) {
    // It may have left with its directory.
    if (action.kind === 'quarantine' && (inUse.has(action.path) || !isThere(root, action.path))) continue;
    const done = run.perform(action, comesBack ? { ...why, source: `${COMES_BACK} ${id}` } : why);
    actions.push(done);
    if (comesBack && action.kind === 'quarantine') away.set(action.path, done.id);
  }
  const problems = [...inUse].map(
    ([path, program]) => `${bytesToText(path)} is left in its place: ${program} uses it`,
  );
  if (redo.takenBack) {
    root.forget();
    return { actions, problems: await installer.configure([], 'triggers of what was taken back') };
  }
  actions.push(...hold(root, redo, run));
  for (const transactionRun of redo.before.runs) {
    const packages = redo.decision.packages.filter(({ record }) => transactionRun.packages.includes(record));
    if (packages.length > 0) problems.push(...(await replay(redo, transactionRun, packages, installer)));
  }
  if (redo.husks.length > 0)
    problems.push(
      ...(await installer.dpkgRemove(
        redo.husks,
        { purge: true, forces: [] },
        'only a record is left of its removal',
      )),
    );
  problems.push(...(await installer.configure([], 'what the interrupted installation left to configure')));
  problems.push(...(await mark(redo, installer)));
  // Configuring has started them, or will not; what ran before is to run again.
  for (const unit of stopped)
    problems.push(
      ...(await installer.run('systemctl', ['start', '--no-block', unit], 'it ran before', SERVICE_MS)),
    );
  root.forget();
  actions.push(...letGo(root, redo, run));
  actions.push(...dropMarks(root, redo, run));
  actions.push(...comeBack(root, store, run, away));
  return { actions, problems };
}

/** Keeps dpkg from taking directories away that it had left already. */
function hold(root: Root, { held }: Redo, run: Run): ActionRecord[] {
  const why = { reason: 'the removal had left the directory, and would take it away now that it is empty' };
  const attributes = { mode: 0o600, uid: 0, gid: 0 };
  return placeholdersIn(held)
    .filter((path) => !isThere(root, path))
    .map((path) => run.perform({ kind: 'put', path, data: Buffer.alloc(0), attributes }, why));
}

function letGo(root: Root, { held }: Redo, run: Run): ActionRecord[] {
  // A maintainer script may have taken it away, with its directory.
  return placeholdersIn(held)
    .filter((path) => isThere(root, path))
    .map((path) => run.perform({ kind: 'quarantine', path }, { reason: 'the removal has come to its end' }));
}

const placeholdersIn = (directories: readonly Bytes[]): Bytes[] =>
  directories.map((path) => `${path}/${PLACEHOLDER}`);

/** How long a service may take to stop, in milliseconds: systemd's own limit is 90 s. */
const SERVICE_MS = 120_000;

/** Stops the services that work in what is going to be moved aside. @returns those, and what somebody else uses */
async function stopUsers(
  root: Root,
  { effects }: Redo,
  installer: Installer,
): Promise<{ stopped: string[]; inUse: Map<Bytes, string> }> {
  const paths = effects.flatMap(({ action, comesBack }) =>
    comesBack && action.kind === 'quarantine' && action.path.startsWith('/var/') ? [action.path] : [],
  );
  if (!root.isHost || paths.length === 0) return { stopped: [], inUse: new Map() };
  const units = new Set(usersOf(paths).flatMap(({ unit }) => unit ?? []));
  for (const unit of units)
    await installer.run('systemctl', ['stop', unit], 'it works in half-made state', SERVICE_MS);
  const inUse = new Map<Bytes, string>();
  for (const path of paths) {
    const [user] = usersOf([path]);
    if (user !== undefined) inUse.set(path, `${user.program} (process ${user.pid})`);
  }
  return { stopped: [...units], inUse };
}

/** What earlier runs of a recovery of this transaction moved aside to be made anew, and did not bring back. */
function asideBefore(store: Store, root: Root, transaction: string): Map<Bytes, string> {
  const away = new Map<Bytes, string>();
  for (const { id, why, path, thing } of listQuarantine(store, root))
    if (why?.source === `${COMES_BACK} ${transaction}` && path !== undefined && thing !== undefined)
      away.set(textToPath(path), id);
  return away;
}

/** Stands in the journal with what may have to come back, so that a later try knows it. */
export const COMES_BACK = 'moved aside to be made anew';

async function replay(
  redo: Redo,
  { source, command }: TransactionRun,
  packages: readonly RedoPackage[],
  installer: Installer,
): Promise<string[]> {
  const archives = packages.flatMap((pkg) => redo.archives.get(pkg)?.file ?? []);
  const removals = packages
    .filter(({ record }) => record.action === 'remove')
    .map(({ record }) => qualified(record));
  const why = `the installation that was interrupted, once more: ${command.join(' ')}`;
  if (source === 'dpkg') {
    const { action } = parseDpkgCommand(command);
    const purge = isPurge({ source, command });
    const forces = command.filter((word) => /^--(?:force|no-force|refuse)-/.test(word));
    const unpackOnly = command.includes('--unpack');
    switch (action) {
      case 'unpack':
        return await installer.dpkgInstall(archives, { unpackOnly, forces }, why);
      case 'remove':
        return await installer.dpkgRemove(removals, { purge, forces }, why);
      case 'configure':
      case 'triggers':
      case 'none':
        return []; // everything that is pending is configured afterwards
    }
  }
  const purge = isPurge({ source, command });
  // apt orders its removals so that dependencies may break for a moment, and so does this.
  const halfway = removals.length > 0 && archives.length === 0;
  if (halfway) return await installer.dpkgRemove(removals, { purge, forces: ['--force-depends'] }, why);
  return await installer.install(archives, removals, { purge }, why);
}

function qualified({ name, architecture }: IntendedPackageRecord): string {
  return architecture === '' || architecture === 'all' ? name : `${name}:${architecture}`;
}

/**
 * Sets the marks: apt took every archive that it was handed for one that a person wants. What was there before keeps
 * the mark that it had, unless the command named it.
 */
async function mark(redo: Redo, installer: Installer): Promise<string[]> {
  const automatic = new Set<string>();
  const manual = new Set<string>();
  const before = automaticBefore(redo);
  for (const { packages, source, command } of redo.before.runs) {
    if (source !== 'apt') continue;
    const ours = redo.decision.packages.filter((pkg) => packages.includes(pkg.record) && bringsFiles(pkg));
    const fresh = ours.filter(({ record }) => record.action === 'install').map(({ record }) => record);
    const depends = new Map<IntendedPackageRecord, Bytes[]>();
    for (const pkg of ours) {
      const archive = redo.archives.get(pkg);
      if (archive !== undefined) depends.set(pkg.record, relatedNames(archive.control));
    }
    const came = automaticOf(command, fresh, (record) => depends.get(record) ?? []);
    const { verb, words } = parseAptCommand(command);
    const asked = verb === 'install' || verb === 'reinstall' ? words : [];
    for (const { record } of ours) {
      const wasAutomatic = before.has(record.name) && !asked.some((word) => isNamed(word, record));
      const isAutomatic = fresh.includes(record) ? came.includes(record) : wasAutomatic;
      (isAutomatic ? automatic : manual).add(qualified(record));
    }
  }
  return await installer.mark([...automatic], [...manual]);
}

/** Names that apt had marked as automatic (apt's apt-pkg/depcache.cc, writeStateFile). */
function automaticBefore({ before }: Redo): Set<string> {
  const entry = before.find(EXTENDED_STATES);
  const data = entry === undefined ? undefined : before.contentOf(entry);
  const { stanzas } = parseDeb822(data === undefined ? '' : bytesOf(data));
  return new Set(
    stanzas
      .filter(({ fields }) => fields.get('auto-installed')?.trim() === '1')
      .map(({ fields }) => bytesToText((fields.get('package') ?? '').trim())),
  );
}

/** apt keeps no mark of a package that it removed; dpkg, which ended the removal, knows nothing of marks. */
function dropMarks(root: Root, redo: Redo, run: Run): ActionRecord[] {
  // What a later run has of a name is what counts.
  const last = new Map(
    redo.before.runs
      .filter(({ source }) => source === 'apt')
      .flatMap(({ packages }) => packages.map(({ name, action }) => [bytesFromText(name), action] as const)),
  );
  const found = root.resolve(EXTENDED_STATES);
  const read = found.kind === 'found' ? readRegularFile(found.host) : undefined;
  if (read?.kind !== 'read') return [];
  const stanzas = stanzasOf(read.data);
  const left = stanzas.filter((stanza) => last.get(packageOf(stanza) ?? '') !== 'remove');
  if (left.length === stanzas.length) return [];
  const data = bufferOf(left.map((stanza) => `${stanza.trimEnd()}\n\n`).join(''));
  const attributes = { mode: 0o644, uid: 0, gid: 0 };
  const why = { reason: 'marks of packages that the interrupted installation removed' };
  return [run.perform({ kind: 'put', path: EXTENDED_STATES, data, attributes }, why)];
}

/** What nothing was made in the place of goes back. */
function comeBack(root: Root, store: Store, run: Run, away: ReadonlyMap<Bytes, string>): ActionRecord[] {
  const actions: ActionRecord[] = [];
  for (const [path, item] of away) {
    if (root.resolve(path).kind !== 'found' || isThere(root, path)) continue;
    actions.push(
      putBack(run, store, root, item, {
        reason: 'the installation made nothing in its place the second time, so it was somebody else’s',
      }),
    );
  }
  return actions;
}

function isThere(root: Root, path: Bytes): boolean {
  const found = root.resolve(path);
  return found.kind === 'found' && isThereAt(found.host);
}
