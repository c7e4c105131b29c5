/**
 * From findings to steps: a pure function of what was found, what good content is at hand, and the policy. A step says
 * what would be done, to what, why, and from which source; recover.ts knows how.
 */
import type { Config } from '../config/settings.ts';
import { temporaryName } from '../dpkg/temporary-names.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding } from '../model/finding.ts';
import { bytesToText, pathToText, textToPath } from '../model/path-text.ts';
import type { LeftAlone, Phase, Step } from '../model/recovery.ts';
import type { Bytes } from '../system/bytes.ts';
import type { DatabaseMend } from './database/plan.ts';
import { isAboutFile, type Solution } from './files.ts';
import type { Redo } from './redo/redo.ts';
import type { Regeneration } from './regenerate.ts';
import type { TrackedDamage } from './tracked-damage.ts';

/** What a step does, for the one who carries it out. */
export type Deed =
  | { readonly kind: 'database'; readonly mend: DatabaseMend }
  | { readonly kind: 'return-lost' }
  | { readonly kind: 'redo'; readonly redo: Redo }
  | { readonly kind: 'file'; readonly solution: Solution }
  | { readonly kind: 'rename'; readonly from: Bytes; readonly to: Bytes }
  | { readonly kind: 'aside'; readonly path: Bytes; readonly remove: boolean }
  | { readonly kind: 'reinstall'; readonly archive: string; readonly unpackOnly: boolean }
  /** These packages, as dpkg names them; without any, all that wait. */
  | { readonly kind: 'configure'; readonly packages: readonly string[] }
  | { readonly kind: 'regenerate'; readonly regeneration: Regeneration }
  | { readonly kind: 'download'; readonly name: string; readonly version: string };

export interface PlannedStep {
  readonly step: Step;
  readonly deed: Deed;
}

export interface Reinstall {
  /** As dpkg prints it. */
  readonly package: string;
  readonly name: Bytes;
  readonly version: string;
  readonly why: string;
  /** A verified .deb, as a path of this host; undefined when none is at hand. */
  readonly archive: string | undefined;
}

export interface PlanInput {
  readonly findings: readonly Finding[];
  readonly policy: Config['recovery'];
  readonly mends: readonly DatabaseMend[];
  /** Of database findings that no good source is known for, why. */
  readonly unmendable: ReadonlyMap<Finding, string>;
  readonly redos: readonly Redo[];
  readonly reinstalls: readonly Reinstall[];
  readonly solutions: ReadonlyMap<Finding, Solution>;
  /** Of files that no manifest vouches for. */
  readonly tracked: readonly TrackedDamage[];
  readonly regenerations: ReadonlyMap<Finding, Regeneration>;
  /** Packages that must not be configured: a maintainer script of theirs is damaged, and no good one is at hand. */
  readonly untouchable: ReadonlySet<string>;
  /** Packages that every maintainer script counts on, by their names without architectures. */
  readonly tools: ReadonlySet<string>;
}

/** Whether a package waits for its maintainer scripts, or for those of others. */
export function isUnfinished({ code }: Finding): boolean {
  return UNFINISHED.has(code);
}

export interface Planned {
  readonly steps: readonly PlannedStep[];
  readonly leftAlone: readonly LeftAlone[];
}

const UNFINISHED: ReadonlySet<FindingCode> = new Set<FindingCode>([
  'package-unpacked',
  'package-half-configured',
  'package-triggers-awaited',
  'package-triggers-pending',
]);
const TO_REINSTALL: ReadonlySet<FindingCode> = new Set<FindingCode>([
  'package-half-installed',
  'package-reinst-required',
]);

/**
 * Plans. The same input gives the same plan, in the order in which it is carried out.
 *
 * A package that waits to be configured by a damaged script (an empty one runs as success) stops all that configures
 * whatever waits: apt, and so an interrupted transaction, and `dpkg --configure -a`.
 */
export function planRecovery(input: PlanInput): Planned {
  const steps: PlannedStep[] = [];
  const leftAlone: LeftAlone[] = [];
  const answered = new Set<Finding>();
  const add = (planned: PlannedStep, ...findings: readonly Finding[]): void => {
    steps.push(planned);
    for (const finding of findings) answered.add(finding);
  };
  const leave = (finding: Finding, reason: string, harmless: boolean): void => {
    answered.add(finding);
    leftAlone.push(left(finding, reason, harmless));
  };

  planReturns(input, add);
  planTracked(input, add);
  planDatabase(input, add, leave);
  const halted = input.findings.filter(
    ({ code, package: name = '' }) => UNFINISHED.has(code) && input.untouchable.has(name),
  );
  const covered = halted.length > 0 ? new Set<string>() : planTransactions(input, add, leave);
  planPackages(input, covered, halted, add, leave);
  planShared(input, covered, halted.length > 0, add);
  for (const finding of input.findings) {
    if (answered.has(finding)) continue;
    if (isAboutFile(finding)) planFile(input, covered, finding, add, leave);
    else if (finding.code.startsWith('leftover-')) planLeftover(input, covered, finding, add, leave);
  }
  for (const [finding, regeneration] of input.regenerations) {
    const { program, args } = regeneration;
    add(
      {
        step: {
          phase: finding.code.startsWith('boot-') ? 'boot' : 'generated',
          what: 'regenerate',
          ...about(finding),
          reason: finding.message,
          command: [program, ...args],
          findings: [finding.code],
          needsNetwork: false,
        },
        deed: { kind: 'regenerate', regeneration },
      },
      finding,
    );
  }
  for (const finding of input.findings) {
    if (answered.has(finding) || finding.severity === 'info') continue;
    leave(
      finding,
      finding.code === 'transaction-interrupted'
        ? 'not all of its packages are where they were meant to come'
        : 'nothing that debmend does would mend it',
      false,
    );
  }
  return { steps, leftAlone };
}

type Add = (planned: PlannedStep, ...findings: readonly Finding[]) => void;
type Leave = (finding: Finding, reason: string, harmless: boolean) => void;

/** What a repair took from its place comes first: dpkg's own files may be among it. */
function planReturns({ findings }: PlanInput, add: Add): void {
  const lost = findings.filter(({ code }) => code === 'filesystem-lost-found');
  if (lost.length === 0) return;
  add(
    {
      step: {
        phase: 'database',
        what: 'return-lost',
        reason:
          'a repair of the filesystem took away the names of things; what is known goes back to its place',
        source: 'manifests and snapshots',
        findings: ['filesystem-lost-found'],
        needsNetwork: false,
      },
      deed: { kind: 'return-lost' },
    },
    ...lost,
  );
}

/** Accounts are among it, and without them nothing else works. What is gone may be meant to be. */
function planTracked({ tracked, findings, mends }: PlanInput, add: Add): void {
  const lost = findings.some(({ code }) => code === 'filesystem-lost-found');
  for (const { entry, snapshot, damage, content } of tracked) {
    if (content === undefined || mends.some(({ file }) => file === entry.path)) continue;
    const { path, mode, uid, gid, mtime, capability } = entry;
    const source = `snapshot ${snapshot}`;
    const attributes = { mode, uid, gid, mtime, ...(capability === null ? {} : { capability }) };
    add({
      step: {
        phase: 'database',
        what: 'restore-file',
        path: pathToText(path),
        reason: `it is ${damage}`,
        source,
        findings: lost ? ['filesystem-lost-found'] : [],
        needsNetwork: false,
      },
      deed: { kind: 'file', solution: { kind: 'put', path, data: content, attributes, source } },
    });
  }
}

function planDatabase({ findings, mends, unmendable }: PlanInput, add: Add, leave: Leave): void {
  for (const mend of mends) {
    const path = pathToText(mend.file);
    const about = findings.filter((finding) => finding.path === path && mend.codes.includes(finding.code));
    add(
      {
        step: {
          phase: 'database',
          what: mend.action.kind === 'aside' ? 'quarantine' : 'mend-database',
          path,
          ...(mend.package === undefined ? {} : { package: bytesToText(mend.package) }),
          reason: mend.reason,
          source: mend.source,
          findings: [...mend.codes],
          needsNetwork: false,
        },
        deed: { kind: 'database', mend },
      },
      ...about,
    );
  }
  for (const [finding, why] of unmendable) leave(finding, why, false);
}

/** @returns names of packages that a transaction's second installation takes care of */
function planTransactions({ redos, findings, policy }: PlanInput, add: Add, leave: Leave): Set<string> {
  const covered = new Set<string>();
  for (const redo of redos) {
    const { transaction, decision, missing, impossible } = redo;
    const notes = findings.filter(
      ({ code, message }) => code === 'transaction-interrupted' && message.includes(transaction.id),
    );
    if (impossible !== undefined) {
      for (const note of notes) leave(note, impossible, false);
      continue;
    }
    for (const { record } of missing) {
      add({
        step: {
          phase: 'transaction',
          what: 'download',
          package: record.name,
          ...(record.newVersion === undefined ? {} : { version: record.newVersion }),
          reason: 'its archive is not at hand',
          findings: [],
          needsNetwork: true,
        },
        deed: { kind: 'download', name: record.name, version: record.newVersion ?? '' },
      });
    }
    const names = decision.packages.map(({ record }) => record.name);
    for (const name of names) covered.add(name);
    const command = transaction.runs[0]?.command.join(' ') ?? '';
    add(
      {
        step: {
          phase: 'transaction',
          what: policy.transaction === 'finish' ? 'install-once-more' : 'take-back',
          transaction: transaction.id,
          reason:
            decision.packages.length === 0
              ? `the installation ${transaction.id} came to its end, and is only not sealed`
              : `the installation ${transaction.id} (${command}) was interrupted: ${names.length} ${names.length === 1 ? 'package' : 'packages'}, ${redo.effects.length} ${redo.effects.length === 1 ? 'file' : 'files'} first put back or moved aside`,
          source: 'the archives that were kept before it began',
          findings: notes.length > 0 ? ['transaction-interrupted'] : [],
          needsNetwork: missing.length > 0,
        },
        deed: { kind: 'redo', redo },
      },
      ...notes,
    );
  }
  return covered;
}

function planPackages(
  { findings, reinstalls }: PlanInput,
  covered: ReadonlySet<string>,
  halted: readonly Finding[],
  add: Add,
  leave: Leave,
): void {
  for (const finding of findings) {
    const states = TO_REINSTALL.has(finding.code) || UNFINISHED.has(finding.code);
    if (states && isCovered(covered, finding)) answeredByRedo(finding, leave);
  }
  for (const { package: display, name, version, why, archive } of reinstalls) {
    if (covered.has(bytesToText(name))) continue;
    const about = findings.filter((finding) => finding.package === display && TO_REINSTALL.has(finding.code));
    const base = { phase: 'packages' as const, package: display, version, reason: why };
    if (archive === undefined)
      add(
        {
          step: {
            ...base,
            what: 'download',
            findings: [...new Set(about.map(({ code }) => code))],
            needsNetwork: true,
          },
          deed: { kind: 'download', name: display, version },
        },
        ...about,
      );
    else
      add(
        {
          step: {
            ...base,
            what: 'reinstall',
            source: archive,
            findings: [...new Set(about.map(({ code }) => code))],
            needsNetwork: false,
          },
          deed: { kind: 'reinstall', archive, unpackOnly: halted.length > 0 },
        },
        ...about,
      );
  }
  for (const finding of halted)
    leave(
      finding,
      'a maintainer script of it is damaged, and no good one is at hand: configuring would lie',
      false,
    );
  const rest = findings.filter(
    (finding) => UNFINISHED.has(finding.code) && !isCovered(covered, finding) && !halted.includes(finding),
  );
  if (rest.length === 0) return;
  // `-a`, and apt, would configure the others too.
  const packages = halted.length === 0 ? [] : [...new Set(rest.flatMap(({ package: name }) => name ?? []))];
  add(
    {
      step: {
        phase: 'packages',
        what: 'configure',
        reason: `${rest.length === 1 ? 'a package waits' : `${rest.length} packages wait`} to be configured`,
        command: ['dpkg', '--configure', ...(packages.length === 0 ? ['-a'] : packages)],
        findings: [...new Set(rest.map(({ code }) => code))],
        needsNetwork: false,
      },
      deed: { kind: 'configure', packages },
    },
    ...rest,
  );
}

/** Files that are one under several names: their packages are unpacked once more, each once. */
function planShared(
  { findings, solutions }: PlanInput,
  covered: ReadonlySet<string>,
  unpackOnly: boolean,
  add: Add,
): void {
  const ofArchives = new Map<string, Finding[]>();
  for (const finding of findings) {
    const solution = solutions.get(finding);
    if (solution?.kind !== 'reinstall' || isCovered(covered, finding)) continue;
    ofArchives.set(solution.archive, [...(ofArchives.get(solution.archive) ?? []), finding]);
  }
  for (const [archive, about] of ofArchives) {
    const [{ package: name, version } = {}] = about;
    const paths = about.flatMap((finding) => placeOf(finding) ?? []).join(', ');
    add(
      {
        step: {
          phase: 'files',
          what: 'reinstall',
          ...(name === undefined ? {} : { package: name }),
          ...(version === undefined ? {} : { version }),
          reason: `only unpacking makes one file of several names again: ${paths}`,
          source: archive,
          findings: [...new Set(about.map(({ code }) => code))],
          needsNetwork: false,
        },
        deed: { kind: 'reinstall', archive, unpackOnly },
      },
      ...about,
    );
  }
}

function planFile(
  { solutions, tools }: PlanInput,
  covered: ReadonlySet<string>,
  finding: Finding,
  add: Add,
  leave: Leave,
): void {
  if (isCovered(covered, finding)) return void answeredByRedo(finding, leave);
  const solution = solutions.get(finding);
  if (solution === undefined) return;
  switch (solution.kind) {
    case 'local-change':
      leave(finding, solution.reason, true);
      return;
    case 'reinstall':
      return; // planShared has it
    case 'none':
      if (solution.package === undefined || finding.code === 'file-modified') {
        leave(finding, solution.reason, false);
        return;
      }
      add(
        {
          step: {
            phase: phaseOf(finding, tools),
            what: 'download',
            ...about(finding),
            reason: solution.reason,
            findings: [finding.code],
            needsNetwork: true,
          },
          deed: { kind: 'download', name: finding.package ?? '', version: finding.version ?? '' },
        },
        finding,
      );
      return;
    case 'put':
    case 'link':
    case 'directory':
      add(
        {
          step: {
            phase: phaseOf(finding, tools),
            what:
              solution.kind === 'put'
                ? 'restore-file'
                : solution.kind === 'link'
                  ? 'restore-link'
                  : 'restore-directory',
            ...about(finding),
            reason: finding.message,
            source: solution.source,
            findings: [finding.code],
            needsNetwork: false,
          },
          deed: { kind: 'file', solution },
        },
        finding,
      );
      return;
  }
}

/** A transaction that is done once more brings these files anyway; the next look tells. */
function answeredByRedo(finding: Finding, leave: Leave): void {
  leave(finding, 'the interrupted installation is done once more first, and brings it', true);
}

function isCovered(covered: ReadonlySet<string>, finding: Finding): boolean {
  return covered.has(nameOf(finding));
}

function phaseOf(finding: Finding, tools: ReadonlySet<string>): Phase {
  const path = placeOf(finding) ?? '';
  if (/^\/(?:boot|lib\/modules|usr\/lib\/modules)\//.test(path)) return 'boot';
  return tools.has(nameOf(finding)) ? 'tools' : 'files';
}

/** Without the architecture. */
function nameOf({ package: name = '' }: Finding): string {
  return name.split(':')[0] ?? name;
}

function planLeftover(
  { policy }: PlanInput,
  covered: ReadonlySet<string>,
  finding: Finding,
  add: Add,
  leave: Leave,
): void {
  const path = textToPath(finding.path ?? '');
  const name = temporaryName(path);
  if (isCovered(covered, finding)) return void answeredByRedo(finding, leave);
  switch (finding.code) {
    case 'leftover-pending-conffile':
      leave(finding, 'it is the new conffile, and goes to its place when the package is configured', false);
      return;
    case 'leftover-administrator':
      leave(finding, 'it belongs to the administrator', true);
      return;
    case 'leftover-backup':
      if (name?.kind === 'staged') {
        leave(finding, 'a maintainer script put it there: configuring the package takes it away', false);
        return;
      }
      // Severity tells whether the original is there (audit/leftovers.ts).
      if (finding.severity === 'error' && name !== undefined) {
        add(
          {
            step: {
              phase: 'files',
              what: 'put-back',
              ...about(finding),
              reason: finding.message,
              findings: [finding.code],
              needsNetwork: false,
            },
            deed: { kind: 'rename', from: path, to: name.original },
          },
          finding,
        );
        return;
      }
      break;
    default:
      break;
  }
  const remove = policy.partialFiles === 'remove' && finding.code === 'leftover-partial';
  add(
    {
      step: {
        phase: 'leftovers',
        what: remove ? 'remove' : 'quarantine',
        ...about(finding),
        reason: finding.message,
        findings: [finding.code],
        needsNetwork: false,
      },
      deed: { kind: 'aside', path, remove },
    },
    finding,
  );
}

/** Where the thing lies that a finding is about, as text. */
export const placeOf = ({ path, divertedTo }: Finding): string | undefined => divertedTo ?? path;

function about(finding: Finding): Pick<Step, 'path' | 'package' | 'version'> {
  const { package: name, version } = finding;
  const path = placeOf(finding);
  return {
    ...(path === undefined ? {} : { path }),
    ...(name === undefined ? {} : { package: name }),
    ...(version === undefined ? {} : { version }),
  };
}

export function left(finding: Finding, reason: string, harmless: boolean): LeftAlone {
  const { path, package: name } = about(finding);
  return {
    finding: finding.code,
    ...(path === undefined ? {} : { path }),
    ...(name === undefined ? {} : { package: name }),
    reason,
    harmless,
  };
}
