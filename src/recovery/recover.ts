/**
 * The face of this folder: look, plan, do, look again, until nothing is left that can be done. A step is done once; what
 * is still wrong when everything was read again is reported as that, and nothing is called mended that was not read (I11).
 *
 *     look ─► plan ─► first phase with something to do ─► look ─► …
 *
 * Each phase is planned anew on what the one before it left: with dpkg's database mended more is known of files, with an
 * interrupted transaction ended most of the rest is gone.
 */
import type { AuditResult } from '../audit/audit.ts';
import { audit } from '../audit/audit.ts';
import type { Config } from '../config/settings.ts';
import { openAdmindir } from '../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import type { Finding } from '../model/finding.ts';
import type { OutageVerdict } from '../model/outage.ts';
import { type LeftAlone, PHASES, type Recovery, type Step } from '../model/recovery.ts';
import type { Transaction } from '../model/transaction.ts';
import type { ScanProgress } from '../scan/scan.ts';
import type { Store } from '../snapshot/store.ts';
import { listTransactions } from '../snapshot/transaction/record.ts';
import { sealTransaction } from '../snapshot/transaction/seal.ts';
import { settleTransactions } from '../snapshot/transaction/settle.ts';
import { DebmendError, messageOf } from '../system/errors.ts';
import { type HeldLocks, holdLocks } from '../system/hold-locks.ts';
import type { Root } from '../system/root.ts';
import { type ActionRecord, Run, settleRun, unfinishedRuns } from './actions.ts';
import { type Damaged, damagedContent } from './beside-damage.ts';
import { type Asked, askForDueChecks } from './checks.ts';
import { noticeClock } from './clock.ts';
import { carryOut } from './deeds.ts';
import { LameScripts, scriptsRunBy } from './failed-scripts.ts';
import { gather } from './gather.ts';
import { Installer } from './install.ts';
import { lostDatabases, requireNoneLost, returnDatabase } from './lost-database.ts';
import { mendMountPoints } from './mount-points.ts';
import {
  type Deed,
  isUnfinished,
  left,
  type PlanInput,
  type Planned,
  type PlannedStep,
  placeOf,
  planRecovery,
} from './plan.ts';
import { Programs } from './programs/runner.ts';
import { isReached } from './redo/decide.ts';
import { type Redo, removalEnds } from './redo/redo.ts';
import { type StateDamage, stateDamage } from './state-damage.ts';
import { mendTools } from './tools.ts';
import { Unsure } from './unsure.ts';

export interface RecoverOptions {
  readonly root: Root;
  readonly store: Store;
  readonly config: Config;
  readonly mode: Recovery['mode'];
  readonly command: readonly string[];
  /** The last moment that the machine is known to have run before an outage, in milliseconds since the epoch. */
  readonly lastAlive: number | undefined;
  /** Whether a repair of the filesystem is known to have moved something, whatever lies in lost+found now. */
  readonly repaired?: boolean;
  /** How the boot before ended; a check is due for what has no journal. */
  readonly outage?: OutageVerdict | undefined;
  /** How long others are waited for that hold dpkg's locks, in milliseconds. */
  readonly lockWait: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined;
  /** Takes a line for a person about what is being done. */
  readonly say?: ((line: string) => void) | undefined;
}

export interface RecoverResult {
  /** Of the first look. */
  readonly before: AuditResult;
  /** Of the last one. */
  readonly after: AuditResult;
  /** Of the first look: all that was going to be done as far as it could be known then. */
  readonly plan: { readonly steps: readonly Step[]; readonly leftAlone: readonly LeftAlone[] };
  readonly actions: readonly ActionRecord[];
  /** Filesystem checks that were found due, and asked for; absent where that was not asked. */
  readonly checks?: Asked['checks'];
  readonly recovery: Omit<Recovery, 'seconds'>;
}

/** More looks than phases would mean that mends undo each other. */
const MAX_PASSES = PHASES.length + 3;

/**
 * Recovers a root, or says what it would do.
 *
 * @throws DebmendError `locked` while another process works on the database, and nothing was touched; of the audit; of
 * the store
 */
export async function recover(options: RecoverOptions): Promise<RecoverResult> {
  const { config, mode } = options;
  const policy = mode === 'service' ? config.recovery.policy : 'repair';
  if (mode === 'dry-run' || policy === 'report') return await only(options, policy);
  const { root, store } = options;
  /** Until it is the recoverer's. */
  let run: Run | undefined;
  const begin = (): Run => {
    run ??= beginRun(options);
    return run;
  };
  let locks: HeldLocks | undefined;
  let programs: Programs | undefined;
  try {
    const isLost = policy === 'repair' && lostDatabases(root).length > 0;
    if (isLost) settleEarlierRuns(options);
    const problems = isLost ? await returnDatabase(begin(), root, store) : [];
    // They waited for it.
    if (isLost) settleTransactions(store, root);
    locks = await holdLocks(openAdmindir(root, DEFAULT_ADMINDIR).host, options.lockWait);
    if (!isLost) settleEarlierRuns(options);
    const actions = policy === 'repair' ? mendMountPoints(root, begin) : [];
    programs = await Programs.open(root, {
      locks,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const recoverer = new Recoverer(options, policy, programs, {
      run,
      actions,
      problems,
      repaired: isLost || options.repaired === true,
    });
    run = undefined;
    return await recoverer.run();
  } catch (error) {
    run?.note(`it stopped: ${messageOf(error)}`);
    run?.end('failed');
    throw error;
  } finally {
    await programs?.close();
    locks?.release();
  }
}

function beginRun({ root, store, config, command }: RecoverOptions): Run {
  return Run.begin(store, root, { command: [...command], policy: config.recovery });
}

/** What would be done; changes nothing. */
async function only(options: RecoverOptions, policy: Recovery['policy']): Promise<RecoverResult> {
  requireNoneLost(options.root);
  const found = await look(options);
  const planned = planRecovery(
    await gather(options, found, { redone: new Map(), repaired: wasRepaired(found), offline: false }),
  );
  const steps = planned.steps.map(({ step }) => step);
  return {
    before: found,
    after: found,
    plan: { steps, leftAlone: planned.leftAlone },
    actions: [],
    recovery: {
      mode: options.mode,
      policy,
      outcome: steps.length > 0 ? 'planned' : worth(found).length > 0 ? 'incomplete' : 'nothing-to-do',
      passes: 1,
      mended: 0,
      unmended: steps.length > 0 ? [] : planned.leftAlone.filter(({ harmless }) => !harmless),
      problems: [],
      retry: steps.some(({ needsNetwork }) => needsNetwork),
    },
  };
}

/** What was done before the programs of a root could be run. */
interface Begun {
  readonly run: Run | undefined;
  readonly actions: readonly ActionRecord[];
  readonly problems: readonly string[];
  /** Whether dpkg's database was returned from lost+found, which may be empty now. */
  readonly repaired: boolean;
}

class Recoverer {
  readonly #options: RecoverOptions;
  readonly #policy: Recovery['policy'];
  readonly #programs: Programs;
  readonly #tried = new Set<string>();
  readonly #problems: string[] = [];
  readonly #actions: ActionRecord[] = [];
  /** What was done with the interrupted transactions in this run, by their ids. */
  readonly #redone = new Map<string, Redo>();
  /** What the last look knows of those that were not. */
  #examined: readonly Redo[] = [];
  /** `partly`: something could not be fetched. `unreachable`: nothing can, and not each package has to find that out. */
  #network: 'untried' | 'partly' | 'unreachable' = 'untried';
  /** Whether a repair of the filesystem took things away. */
  #repaired: boolean;
  #damaged: readonly Damaged[] | undefined;
  /** Whether something was gone that every system has. */
  #torn = false;
  /** State of scripts, as the first look found it. */
  #lostState: readonly StateDamage[] | undefined;
  #tools: boolean | undefined;
  readonly #ended = new Map<string, 'finished' | 'taken-back'>();
  /** What nobody knows any more of what was brought to its end. */
  readonly #unsure: LeftAlone[] = [];
  /** Packages that were unpacked once more, as dpkg prints them. */
  readonly #reinstalled = new Set<string>();
  readonly #scripts = new LameScripts();
  /** In milliseconds since the epoch. */
  readonly #begun = Date.now();
  #run: Run | undefined;

  constructor(options: RecoverOptions, policy: Recovery['policy'], programs: Programs, begun: Begun) {
    this.#options = options;
    this.#policy = policy;
    this.#programs = programs;
    this.#run = begun.run;
    this.#actions.push(...begun.actions);
    this.#problems.push(...begun.problems);
    this.#repaired = begun.repaired;
  }

  async run(): Promise<RecoverResult> {
    noticeClock(this.#options.root, this.#options.store);
    const before = await look(this.#options);
    this.#repaired ||= wasRepaired(before);
    let after = before;
    let first: Planned | undefined;
    let planned: Planned = { steps: [], leftAlone: [] };
    let passes = 1;
    try {
      for (; passes <= MAX_PASSES; passes += 1) {
        const input = await gather(this.#options, after, {
          redone: this.#redone,
          repaired: this.#repaired,
          offline: this.#network !== 'untried',
        });
        this.#examined = input.redos;
        this.#lostState ??= await stateDamage(this.#options.root, this.#options.store, this.#repaired);
        this.#damaged ??= [
          ...damagedContent(this.#options.root, this.#options.store, before.findings, input.tracked),
          ...this.#lostState.map(({ at }) => ({ finding: undefined, at })),
        ];
        planned = planRecovery(input);
        if (first === undefined) this.#torn = isTorn(before, input);
        first ??= planned;
        const todo = this.#next(planned);
        if (todo.length === 0) break;
        this.#aboutToRun(todo, after);
        await this.#carryOut(todo);
        after = await look(this.#options);
      }
      // A seal's own snapshot knows only what is known now.
      const unsure = this.#unsureAt(after);
      this.#unsure.push(...(await unsure.beforeSeals()));
      const sealed = await this.#seal(after, unsure);
      if (sealed) after = await look(this.#options);
      this.#unsure.push(...(await (sealed ? this.#unsureAt(after) : unsure).ofOpen()));
      const checks = await this.#askForChecks(after);
      return { ...this.#result(before, after, first ?? planned, planned, passes), ...checks };
    } catch (error) {
      this.#run?.note(`it stopped: ${messageOf(error)}`);
      this.#run?.end('failed');
      throw error;
    }
  }

  /** The steps of the first phase in which something is left that was not tried. */
  #next({ steps }: Planned): PlannedStep[] {
    const wanted = steps.filter((planned) => this.#isWanted(planned) && !this.#tried.has(keyOf(planned)));
    const phase = PHASES.find((one) => wanted.some(({ step }) => step.phase === one));
    const todo = wanted.filter(({ step }) => step.phase === phase);
    // What a second transaction needs is looked at anew when the first has its end; and everything when files are back.
    const last = todo.findIndex(({ deed }) => deed.kind === 'redo' || deed.kind === 'return-lost');
    return last < 0 ? todo : todo.slice(0, last + 1);
  }

  /** The policy `quarantine` moves partial files aside and does nothing else. */
  #isWanted({ step, deed }: PlannedStep): boolean {
    const mayAsk = this.#network !== 'unreachable' && this.#options.config.recovery.network;
    if (deed.kind === 'download' && !mayAsk) return false;
    if (deed.kind === 'redo' && deed.redo.missing.length > 0) return false;
    return this.#policy === 'repair' || step.phase === 'leftovers';
  }

  /** What maintainer scripts will not find is known now; afterwards it may be back. */
  #aboutToRun(todo: readonly PlannedStep[], { findings }: AuditResult): void {
    const waiting = findings.filter(isUnfinished).flatMap(({ package: name }) => name ?? []);
    this.#scripts.beforeRun(
      findings,
      todo.flatMap(({ deed, step }) => scriptsRunBy(deed, step.package, waiting)),
    );
  }

  async #carryOut(todo: readonly PlannedStep[]): Promise<void> {
    const { root, store, config, say } = this.#options;
    this.#run ??= beginRun(this.#options);
    const installer = new Installer(this.#run, this.#programs, this.#scripts);
    const together = await this.#reinstallTogether(todo, this.#run, installer);
    for (const planned of todo.filter((one) => !together.has(one))) {
      if (!this.#isWanted(planned)) continue;
      this.#tried.add(keyOf(planned));
      if (this.#options.signal?.aborted === true) throw interrupted();
      if (runsPrograms(planned.deed) && !(await this.#toolsWork(this.#run))) continue;
      say?.(sentence(planned.step));
      try {
        const { actions, problems } = await carryOut(planned.deed, planned.step, {
          root,
          store,
          run: this.#run,
          installer,
          policy: config.recovery,
        });
        this.#actions.push(...actions);
        this.#problems.push(...problems);
        if (planned.deed.kind === 'download' && problems.length > 0)
          this.#network = problems.some(saysUnreachable) ? 'unreachable' : 'partly';
        if (planned.deed.kind === 'reinstall' && problems.length === 0)
          this.#reinstalled.add(planned.step.package ?? '');
        if (planned.deed.kind === 'redo')
          this.#redone.set(planned.deed.redo.transaction.id, planned.deed.redo);
      } catch (error) {
        // One file that cannot be mended keeps no other from it; a lost lock or a full disk does.
        if (!isOfOneStep(error)) throw error;
        this.#problems.push(error.message);
        // Each mend of the database stands on those before it: a journal goes aside when the status file has it.
        if (planned.deed.kind === 'database') break;
      }
    }
    root.forget();
  }

  /**
   * Packages of one version may need each other, and each other's triggers: one run of apt unpacks them all. Where that
   * fails each is unpacked by itself.
   *
   * @returns those that it unpacked
   */
  async #reinstallTogether(
    todo: readonly PlannedStep[],
    run: Run,
    installer: Installer,
  ): Promise<ReadonlySet<PlannedStep>> {
    const several = todo.filter(({ deed }) => deed.kind === 'reinstall' && !deed.unpackOnly);
    if (several.length < 2 || !(await this.#toolsWork(run))) return new Set();
    const archives = several.flatMap(({ deed }) => (deed.kind === 'reinstall' ? [deed.archive] : []));
    for (const { step } of several) this.#options.say?.(sentence(step));
    try {
      const why = `${several.length} packages are unpacked once more`;
      const problems = await installer.install(archives, [], { purge: false }, why);
      if (problems.length > 0) return new Set();
    } catch (error) {
      if (!isOfOneStep(error)) throw error;
      return new Set();
    }
    for (const planned of several) {
      this.#tried.add(keyOf(planned));
      this.#reinstalled.add(planned.step.package ?? '');
    }
    return new Set(several);
  }

  /** Whether the root's own tools work. Asked once: what is broken after they were put back stays so. */
  async #toolsWork(run: Run): Promise<boolean> {
    if (this.#tools === undefined) {
      const { root, store, say } = this.#options;
      const { work, actions, problems } = await mendTools(root, store, run, this.#programs, say);
      this.#actions.push(...actions);
      this.#problems.push(...problems);
      this.#tools = work;
    }
    return this.#tools;
  }

  #unsureAt(after: AuditResult): Unsure {
    const { database } = after;
    const { root, store, config, lastAlive } = this.#options;
    const still = new Set(after.findings.map(identity));
    // What stands as it was may be somebody's edit.
    const isDamage = ({ finding }: Damaged): boolean =>
      finding === undefined || finding.likelyOutage || !still.has(identity(finding));
    return new Unsure(root, store, config, database, {
      begun: this.#begun,
      lastAlive,
      acted: this.#run !== undefined,
      repaired: this.#repaired,
      torn: this.#torn,
      isLeft: wasRepaired(after),
      damagedAt: (this.#damaged ?? []).filter(isDamage).map(({ at }) => at),
      reinstalled: this.#reinstalled,
      redone: this.#redone,
      examined: this.#examined,
      scripts: this.#scripts,
      lostState: this.#lostState ?? [],
    });
  }

  /** Seals the transactions whose packages are where they were meant to come. @returns whether one was */
  async #seal(after: AuditResult, unsure: Unsure): Promise<boolean> {
    const { root, store, config } = this.#options;
    if (this.#policy !== 'repair') return false;
    let sealed = false;
    for (const transaction of interruptedTransactions(store)) {
      // What was not done once more is suspect, whatever dpkg's records say of it.
      // Of one whose record was lost with all that it brought there is nothing to do, and much to tell.
      const isRebuilt = transaction.origin === 'rebuilt';
      const isBlank = isRebuilt && transaction.runs.every(({ packages }) => packages.length === 0);
      const redo = this.#redone.get(transaction.id);
      const takenBack = isBlank ? false : redo?.takenBack;
      if (takenBack === undefined || (!takenBack && !hasEnded(transaction, after))) continue;
      await sealTransaction(store, root, config, transaction, 'recovery');
      this.#ended.set(transaction.id, takenBack ? 'taken-back' : 'finished');
      this.#unsure.push(...(await unsure.ofEnded(transaction)));
      sealed = true;
    }
    return sealed;
  }

  /** The last step: of another root than the booted one nobody here knows the next boot. */
  async #askForChecks(after: AuditResult): Promise<Pick<RecoverResult, 'checks'>> {
    const { root, store, config, outage } = this.#options;
    if (this.#policy !== 'repair' || config.fsck.schedule === 'never' || !root.isHost) return {};
    const context = { root, directory: store.directory, boot: store.boot };
    const { checks, problems } = await askForDueChecks({ context, findings: after.findings, outage });
    this.#problems.push(...problems);
    return { checks };
  }

  #result(
    before: AuditResult,
    after: AuditResult,
    first: Planned,
    last: Planned,
    passes: number,
  ): RecoverResult {
    const still = new Set(after.findings.map(identity));
    const mended = worth(before).filter((finding) => !still.has(identity(finding))).length;
    const open = interruptedTransactions(this.#options.store);
    const reasons = new Map(
      last.leftAlone.map((one) => [`${one.finding} ${one.path ?? ''} ${one.package ?? ''}`, one]),
    );
    const unmended = worth(after).flatMap((finding): LeftAlone[] => {
      const known = reasons.get(`${finding.code} ${placeOf(finding) ?? ''} ${finding.package ?? ''}`);
      if (known?.harmless === true) return [];
      return [known ?? left(finding, 'it was tried, and is still so', false)];
    });
    unmended.push(...withoutDoubles(this.#unsure));
    const waits = this.#network !== 'untried' || last.steps.some(({ step }) => step.needsNetwork);
    const retry = waits && this.#options.config.recovery.network;
    const acted = this.#run !== undefined;
    const outcome =
      unmended.length > 0 || open.length > 0
        ? 'incomplete'
        : acted || this.#ended.size > 0
          ? 'mended'
          : 'nothing-to-do';
    this.#run?.end(outcome === 'incomplete' ? 'incomplete' : 'mended');
    const [id, end] = [...this.#ended].at(-1) ?? [open.at(-1)?.id, 'open' as const];
    return {
      before,
      after,
      plan: { steps: first.steps.map(({ step }) => step), leftAlone: first.leftAlone },
      actions: this.#actions,
      recovery: {
        ...(this.#run === undefined ? {} : { run: this.#run.id }),
        mode: this.#options.mode,
        policy: this.#policy,
        outcome,
        passes,
        mended,
        unmended,
        problems: this.#problems,
        ...(id === undefined ? {} : { transaction: { id, end } }),
        retry,
      },
    };
  }
}

/** Whether what failed keeps nothing else from being done. */
function isOfOneStep(error: unknown): error is DebmendError {
  return (
    error instanceof DebmendError && !['locked', 'disk-full', 'read-only', 'interrupted'].includes(error.code)
  );
}

/** A path or a package is named once, however many reasons there are. */
function withoutDoubles(said: readonly LeftAlone[]): LeftAlone[] {
  const first = new Map<string, LeftAlone>();
  for (const one of said) {
    const subject = one.path ?? one.package;
    const key = subject === undefined ? one.reason : `${one.finding} ${subject}`;
    if (!first.has(key)) first.set(key, one);
  }
  return [...first.values()];
}

/** apt's words for a network that is not there (apt's methods/connect.cc), whatever it was going to fetch. */
function saysUnreachable(problem: string): boolean {
  return /Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|Cannot initiate the connection|Network is unreachable|Connection timed out/.test(
    problem,
  );
}

function runsPrograms({ kind }: Deed): boolean {
  switch (kind) {
    case 'redo':
    case 'reinstall':
    case 'configure':
    case 'regenerate':
    case 'download':
      return true;
    case 'return-lost':
    case 'database':
    case 'file':
    case 'rename':
    case 'aside':
      return false;
  }
}

async function look({ root, config, signal, onProgress }: RecoverOptions): Promise<AuditResult> {
  root.forget();
  return await audit({
    root,
    scope: { packages: [], paths: [] },
    quick: false,
    archives: [],
    leftoverGlobs: config.audit.leftoverGlobs,
    ignoreLock: true,
    signal,
    onProgress,
  });
}

function wasRepaired({ findings }: AuditResult): boolean {
  return findings.some(({ code }) => code === 'filesystem-lost-found');
}

/** Whether what every maintainer script counts on was gone, and no installation that was cut had to do with it. */
function isTorn({ findings }: AuditResult, { tools, redos }: PlanInput): boolean {
  const touched = new Set(
    redos.flatMap(({ decision }) => decision.packages.map(({ record }) => record.name)),
  );
  return findings.some(({ code, path = '', package: display = '' }) => {
    const name = display.split(':')[0] ?? display;
    // Documentation and the like people do take away.
    const isVital = code === 'file-missing' && !path.startsWith('/usr/share/');
    return isVital && tools.has(name) && !touched.has(name);
  });
}

/** Findings that are more than information. */
function worth({ findings }: AuditResult): Finding[] {
  return findings.filter(({ severity }) => severity !== 'info');
}

function identity({ code, path = '', package: name = '' }: Finding): string {
  return `${code} ${path} ${name}`;
}

/** What makes a step the same as one that was tried. Why it is done may be put otherwise at the second look. */
function keyOf({ step: { reason: _, findings: __, ...step } }: PlannedStep): string {
  return JSON.stringify(step);
}

function interruptedTransactions(store: Store): Transaction[] {
  return listTransactions(store, 'interrupted');
}

/** Whether every package of a transaction is where it was meant to come, by the database as it was read again. */
function hasEnded(transaction: Transaction, { database }: AuditResult): boolean {
  const ends = removalEnds(database);
  const last = new Map(
    transaction.runs.flatMap((run) =>
      run.packages
        .filter(({ action }) => action !== 'configure')
        .map((record) => [`${record.name}:${record.architecture}`, { record, run }] as const),
    ),
  );
  return [...last.values()].every(({ record, run }) => isReached(record, database.packages, ends(run)));
}

/** A run that was interrupted left its last action open; nothing else may be done before that is settled (I4). */
function settleEarlierRuns({ root, store, say }: RecoverOptions): void {
  for (const id of unfinishedRuns(store)) {
    for (const { id: action, left: how } of settleRun(store, root, id))
      say?.(`action ${action} of an interrupted run: ${how === 'done' ? 'completed' : 'not begun'}`);
  }
}

function sentence({ what, path, package: name, reason }: Step): string {
  const subject = path ?? name;
  return `${what.replaceAll('-', ' ')}${subject === undefined ? '' : ` ${subject}`}: ${reason}`;
}

function interrupted(): DebmendError {
  return new DebmendError(
    'interrupted',
    'recovering: it was interrupted',
    'run it again: it goes on from where the disk is',
  );
}
