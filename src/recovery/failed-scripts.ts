/**
 * State of maintainer scripts that could not do all that they do: they failed, or ran while programs were missing. A
 * script that finds its state there the next time leaves it alone, half-made as it is, and ends well:
 * `[ -d /var/lib/x ] || { mkdir /var/lib/x; chown x /var/lib/x; }`.
 */
import { lstatSync } from 'node:fs';
import type { Database } from '../dpkg/database.ts';
import { statePlaces } from '../dpkg/script-places.ts';
import type { Finding } from '../model/finding.ts';
import { bytesToText, pathToText, textToPath } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { newestSealed } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, bytesFromText, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { isDamaged } from './files.ts';
import { type Deed, placeOf } from './plan.ts';
import { scriptsOf } from './scripts.ts';

/** Where programs, and what they load, are (hier(7)). */
const PROGRAMS = /^\/(?:usr\/)?(?:bin|sbin|libexec|lib(?:32|64|x32)?)\/|^\/usr\/share\/(?:perl5?|debconf)\//;
/** Settings that a script names. */
const SETTINGS = /\/etc\/[\w.+@-]+(?:\/[\w.+@-]+)*/g;
/** What dpkg says of a package whose script failed (src/main/script.c, maintscript_exec). */
const FAILED = / script subprocess (?:returned error exit status|failed|was killed|was interrupted)/;

/** What went wrong when packages were installed, removed or configured. */
export interface PackageProblem {
  /** As dpkg prints it. */
  readonly package?: Bytes;
  readonly message: Bytes;
}

/** The packages whose scripts were run in a recovery, and could not do all that they do. */
export class LameScripts {
  /** Names without architectures, and what their scripts did not find: undefined when one only failed. */
  readonly #packages = new Map<Bytes, string | undefined>();

  /** Takes what came of a program that runs maintainer scripts. */
  sawProblems(problems: readonly PackageProblem[]): void {
    for (const { package: name, message } of problems)
      if (name !== undefined && FAILED.test(message) && !this.#packages.has(nameOf(name)))
        this.#packages.set(nameOf(name), undefined);
  }

  /**
   * @param findings of right before
   * @param names of packages whose scripts are going to be run, without architectures
   */
  beforeRun(findings: readonly Finding[], names: readonly Bytes[]): void {
    const ours = new Set(names);
    const missing = findings.filter(
      (finding) =>
        isDamaged(finding) &&
        PROGRAMS.test(textToPath(placeOf(finding) ?? '')) &&
        // Theirs come with them.
        !ours.has(nameOf(bytesFromText(finding.package ?? ''))),
    );
    const [first] = missing;
    if (first === undefined) return;
    const which = `${placeOf(first)}${missing.length === 1 ? '' : ` and ${missing.length - 1} more`}`;
    for (const name of names) this.#packages.set(name, this.#packages.get(name) ?? which);
  }

  /**
   * State and settings that those scripts name, and that are no package's. A script that fails without a reason in sight
   * may have done everything before: then what is there of its state, and its settings that were written since.
   *
   * @param begun when the recovery began, in milliseconds since the epoch
   */
  left(
    { root, store, begun }: { readonly root: Root; readonly store: Store; readonly begun: number },
    database: Database,
    isOwned: (path: Bytes) => boolean,
  ): LeftAlone[] {
    const changedAt = (path: Bytes): number => {
      const found = root.resolve(path);
      if (found.kind !== 'found') return 0;
      return lstatSync(fsPath(found.host), { throwIfNoEntry: false })?.ctimeMs ?? 0;
    };
    const snapshot = newestSealed(store)?.id;
    const named = new Map<Bytes, LeftAlone>();
    for (const [name, missing] of this.#packages) {
      const scripts = scriptsOf(store, database, name, snapshot === undefined ? [] : [snapshot]);
      const state = scripts.flatMap(statePlaces);
      const settings = scripts.flatMap((script) => script.match(SETTINGS) ?? []);
      const suspect =
        missing === undefined
          ? [
              ...state.filter((path) => changedAt(path) > 0),
              ...settings.filter((path) => changedAt(path) >= begun),
            ]
          : [...state, ...settings];
      const why = missing === undefined ? 'failed in this recovery' : `were run without ${missing}`;
      for (const path of suspect.filter((one) => !isOwned(one)))
        named.set(path, {
          finding: 'package-half-configured',
          path: pathToText(path),
          harmless: false,
          reason: `the maintainer scripts of ${bytesToText(name)} name it, and ${why}: look whether it is whole`,
        });
    }
    return [...named.values()];
  }
}

/** Names of the packages whose scripts a deed runs, as far as it tells; without architectures. */
export function scriptsRunBy(deed: Deed, display: string | undefined, waiting: readonly string[]): Bytes[] {
  switch (deed.kind) {
    case 'redo':
      return deed.redo.decision.packages.map(({ record }) => bytesFromText(record.name));
    case 'reinstall':
      return display === undefined ? [] : [nameOf(bytesFromText(display))];
    case 'configure':
      return (deed.packages.length > 0 ? deed.packages : waiting).map((name) => nameOf(bytesFromText(name)));
    case 'regenerate':
    case 'download':
    case 'return-lost':
    case 'database':
    case 'file':
    case 'rename':
    case 'aside':
      return [];
  }
}

const nameOf = (display: Bytes): Bytes => display.split(':')[0] ?? display;
