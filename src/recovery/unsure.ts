/**
 * What a recovery says at its end that no finding says: what nobody knows any more, and what nothing was done about
 * because of that.
 */
import { lstatSync } from 'node:fs';
import type { Config } from '../config/settings.ts';
import type { Database } from '../dpkg/database.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import type { Transaction } from '../model/transaction.ts';
import { hasLostSnapshots } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { trackedPaths } from '../snapshot/tracked.ts';
import { listTransactions } from '../snapshot/transaction/record.ts';
import { type Bytes, bytesFromText, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { strangeSinceRepair, unknownInstallation } from './after-repair.ts';
import { besideDamage } from './beside-damage.ts';
import { alteredControlFiles } from './control-files.ts';
import type { LameScripts } from './failed-scripts.ts';
import { forgottenPackages } from './forgotten.ts';
import { garbledNames } from './garbled-names.ts';
import { takenBySecondRemoval } from './gone-directories.ts';
import { leftAccounts } from './left-accounts.ts';
import { leftBehind, namesOf, notEnded, putBackOnly, unsureOf } from './lost-record.ts';
import { ownersBeside } from './owners.ts';
import type { Redo } from './redo/redo.ts';
import { standardPlacesGone } from './standard-places.ts';
import { lostState, type StateDamage } from './state-damage.ts';
import { GONE, takenByRepair, trackedDamage } from './tracked-damage.ts';
import { unverifiedSince } from './unverified.ts';

/** What the recovery knows of itself. */
export interface Course {
  /** When it began, in milliseconds since the epoch. */
  readonly begun: number;
  /** The last moment before it that the machine is known to have run, in milliseconds since the epoch. */
  readonly lastAlive: number | undefined;
  /** Whether it changed anything. */
  readonly acted: boolean;
  /** Whether a repair of the filesystem took things away. */
  readonly repaired: boolean;
  /** Whether any of that is left, and nobody knows what it is. */
  readonly isLeft: boolean;
  /** Whether directories, links or programs were gone that every system has, and that no installation had to do with. */
  readonly torn: boolean;
  /** When content was written that was damaged, in milliseconds since the epoch. */
  readonly damagedAt: readonly number[];
  /** Packages that were unpacked once more, as dpkg prints them. */
  readonly reinstalled: ReadonlySet<string>;
  /** What was done with the interrupted transactions, by their ids. */
  readonly redone: ReadonlyMap<string, Redo>;
  /** What the last look knows of those that were not. */
  readonly examined: readonly Redo[];
  /** Packages whose maintainer scripts could not do all that they do. */
  readonly scripts: LameScripts;
  /** State of maintainer scripts that was not as a seal knows it before anything was done. */
  readonly lostState: readonly StateDamage[];
}

/** Of one look at a root. */
export class Unsure {
  readonly #root: Root;
  readonly #store: Store;
  readonly #config: Config;
  readonly #database: Database;
  readonly #course: Course;
  readonly #isOwned: (path: Bytes) => boolean;
  #tracked: Promise<Bytes[]> | undefined;

  constructor(root: Root, store: Store, config: Config, database: Database, course: Course) {
    this.#root = root;
    this.#store = store;
    this.#config = config;
    this.#database = database;
    this.#course = course;
    this.#isOwned = ownersBeside(root, database, new Set());
    root.forget();
  }

  /** What has to be said while the newest sealed snapshot is still the one of before. */
  async beforeSeals(): Promise<LeftAlone[]> {
    const { repaired, torn, acted } = this.#course;
    return [
      ...this.#forgotten(),
      ...(repaired ? await this.#sinceRepair() : torn ? await this.#torn() : []),
      ...lostState(this.#course.lostState),
      ...(await this.#besideDamage()),
      ...this.#ofScripts(),
      ...this.#besideConffiles(),
      ...(repaired || acted ? await this.#controlFiles() : []),
      ...(repaired || this.#hasLied() ? garbledNames(this.#root, this.#store, this.#isOwned) : []),
    ];
  }

  /** Of an installation that was brought to its end. */
  async ofEnded(transaction: Transaction): Promise<LeftAlone[]> {
    const redo = this.#course.redone.get(transaction.id);
    return [
      ...putBackOnly(redo),
      ...(redo === undefined ? [] : leftAccounts(this.#root, this.#database.admindir.inside, redo)),
      ...(redo === undefined ? [] : takenBySecondRemoval(this.#root, this.#database, redo, this.#isOwned)),
      ...(await this.#ofLostSnapshots(transaction)),
    ];
  }

  /** Of installations that were not. */
  async ofOpen(): Promise<LeftAlone[]> {
    const said: LeftAlone[] = [];
    for (const transaction of this.#open()) {
      const ofLost = await this.#ofLostSnapshots(transaction);
      said.push(...notEnded(transaction), ...ofLost);
      const redo =
        this.#course.redone.get(transaction.id) ??
        this.#course.examined.find((one) => one.transaction.id === transaction.id);
      if (redo === undefined) continue;
      const since = Date.parse(transaction.startedAt);
      const tree = {
        unowned: await this.#unowned(),
        isOwned: this.#isOwned,
        changed:
          ofLost.length > 0
            ? []
            : unverifiedSince(this.#root, this.#database, { since, until: this.#course.begun }),
      };
      said.push(...leftBehind(this.#root, redo, this.#database, tree));
    }
    return said;
  }

  /** Whether a disk lost what it had promised to keep. */
  #hasLied(): boolean {
    return this.#open().some((transaction) => hasLostSnapshots(this.#store, transaction));
  }

  /** Where an installation had not ended, its own damage is told by itself. */
  async #besideDamage(): Promise<LeftAlone[]> {
    const { damagedAt, redone } = this.#course;
    if (this.#open().length > 0 || redone.size > 0) return [];
    return await besideDamage(this.#root, this.#store, this.#database, damagedAt, this.#course);
  }

  #ofScripts(): LeftAlone[] {
    const { scripts, begun } = this.#course;
    return scripts.left({ root: this.#root, store: this.#store, begun }, this.#database, this.#isOwned);
  }

  #controlFiles(): Promise<LeftAlone[]> {
    const { reinstalled, redone } = this.#course;
    const redoneNames = [...redone.values()].flatMap(({ decision }) =>
      decision.packages.map(({ record }) => record.name),
    );
    const renewed = new Set([...namesOf(reinstalled), ...redoneNames].map(bytesFromText));
    return alteredControlFiles(this.#root, this.#store, this.#database, renewed);
  }

  #open(): Transaction[] {
    return listTransactions(this.#store, 'interrupted');
  }

  async #ofLostSnapshots(transaction: Transaction): Promise<LeftAlone[]> {
    if (!hasLostSnapshots(this.#store, transaction)) return [];
    const { reinstalled, redone, begun } = this.#course;
    return unsureOf(this.#root, this.#store, this.#database, transaction, {
      reinstalled,
      redo: redone.get(transaction.id),
      begun,
      unowned: await this.#unowned(),
    });
  }

  /** What dpkg put beside conffiles when it unpacked their package once more: the one or the other is to stay. */
  #besideConffiles(): LeftAlone[] {
    const names = namesOf(this.#course.reinstalled);
    return this.#database.packages
      .filter(({ name }) => names.has(bytesToText(name)))
      .flatMap(({ conffiles }) => conffiles.map(({ path }) => `${path}.dpkg-dist`))
      .filter((path) => {
        const found = this.#root.resolve(path);
        const stat =
          found.kind === 'found' ? lstatSync(fsPath(found.host), { throwIfNoEntry: false }) : undefined;
        return stat !== undefined && stat.ctimeMs >= this.#course.begun;
      })
      .map((path) => ({
        finding: 'leftover-administrator',
        path: pathToText(path),
        harmless: false,
        reason:
          'dpkg put it there when its package was unpacked once more, because the conffile is not as its record has it: look which of them is right',
      }));
  }

  /** A disk that lost some of what every system has may have lost more. */
  async #torn(): Promise<LeftAlone[]> {
    const tracked = await trackedDamage(this.#root, this.#store, true);
    return [
      ...takenByRepair(tracked.filter(({ damage }) => damage === GONE)),
      ...standardPlacesGone(this.#root),
    ];
  }

  /** What a repair of the filesystem took with it, besides what lies in lost+found. */
  async #sinceRepair(): Promise<LeftAlone[]> {
    const { redone, reinstalled, begun, lastAlive, isLeft } = this.#course;
    const tree = { unowned: await this.#unowned(), isOwned: this.#isOwned, isLeft };
    const said = [
      ...takenByRepair(await trackedDamage(this.#root, this.#store, true)),
      ...strangeSinceRepair(this.#root, this.#store, this.#database, redone.values(), tree),
    ];
    if (this.#open().length > 0) return said;
    const known = { reinstalled, begun, lastAlive, isLeft: isLeft && redone.size === 0 };
    return [...said, ...(await unknownInstallation(this.#root, this.#store, this.#database, known))];
  }

  /** What nothing was done about, because nobody knows whether it was to go or to stay. */
  #forgotten(): LeftAlone[] {
    const names = this.#open().flatMap(({ runs }) =>
      runs.flatMap(({ packages }) => packages.map(({ name }) => bytesFromText(name))),
    );
    return forgottenPackages(this.#root, this.#store, this.#database, new Set(names));
  }

  /** What is tracked, and no package's. */
  async #unowned(): Promise<Bytes[]> {
    const { tracked, trackedLimit } = this.#config.snapshots;
    this.#tracked ??= trackedPaths(this.#root, tracked, trackedLimit).then(({ paths }) =>
      paths.map(({ path }) => path),
    );
    return (await this.#tracked).filter((path) => !this.#isOwned(path));
  }
}
