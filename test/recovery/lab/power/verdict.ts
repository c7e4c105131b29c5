/**
 * What is said of a contestant's end, held against what it says itself.
 *
 *   equal      the end of an uninterrupted run, what was installed works, nothing is lost
 *   before     a lying disk had lost even what was going to be installed, and the end is, whole, what was before it
 *   cautious   equal, and yet it says that a hand is needed
 *   named      not equal, and everything that is not stands by name in what it says is wrong
 *   unnamed    not equal, it says that something is wrong, but not all of it
 *   lost       something that was there is neither in place, nor in quarantine, nor in any archive
 *   liar       not equal, and it says that all is well: the worst
 *   failed     it did not come to an end
 *   beyond     no filesystem was left to mend anything on, after the boot's own check
 */
import { parseDiversions } from '../../../../src/dpkg/diversions.ts';
import { type Report, reportSchema } from '../../../../src/model/report.ts';
import type { RootImage } from '../image.ts';

export const VERDICTS = [
  'liar',
  'lost',
  'failed',
  'unnamed',
  'named',
  'cautious',
  'before',
  'equal',
  'beyond',
] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Judged {
  readonly code: number | undefined;
  readonly differences: readonly string[];
  /** From what was before the workload; of a disk that lies, which may have lost all record of it. */
  readonly fromBefore?: readonly string[];
  /** What was before the workload, of a disk that lies. */
  readonly base?: RootImage;
  readonly lost: readonly string[];
  /** What dpkg --audit says. */
  readonly audit: string;
  /** What of the installed does not work. */
  readonly wrong: string;
  readonly stdout: string;
}

/** @param after the root at the end, in whose manifests a package's files stand */
export function debmendVerdict(
  judged: Judged,
  after: RootImage,
): { verdict: Verdict; unnamed: readonly string[] } {
  const { code, differences, fromBefore, base, lost, audit, wrong, stdout } = judged;
  const report = reportOf(stdout);
  const isSound = audit === '' && wrong === '';
  const isEqual = differences.length === 0 && isSound;
  const isBefore = fromBefore?.length === 0 && isSound;
  const verdict = (is: Verdict, unnamed: readonly string[] = []) => ({ verdict: is, unnamed });
  if (report?.recovery === undefined || (code !== 0 && code !== 1)) return verdict('failed');
  const nearest =
    fromBefore !== undefined && fromBefore.length < differences.length ? fromBefore : differences;
  if (code === 0 && !isEqual && !isBefore) return verdict('liar', nearest);
  if (lost.length > 0) return verdict('lost');
  if (isEqual) return verdict(code === 0 ? 'equal' : 'cautious');
  if (isBefore) return verdict('before');
  const isOpen = (line: string): boolean =>
    !isNamed(line, report, after) && !(base !== undefined && liesInLostFound(line, report, after, base));
  const ends = [differences, ...(fromBefore === undefined ? [] : [fromBefore])].map((lines) =>
    lines.filter(isOpen),
  );
  // Who says that nobody knows what was to be done, and to give the command again, has said it of all that is whole as it was.
  if (fromBefore !== undefined && isIntentLost(report)) {
    const changed = new Set(fromBefore.map(subjectOf));
    ends.push(differences.filter((line) => changed.has(subjectOf(line)) && isOpen(line)));
  }
  const [unnamed = []] = ends.sort((one, other) => one.length - other.length);
  return verdict(unnamed.length === 0 ? 'named' : 'unnamed', unnamed);
}

/** The playbook says nothing of its own but its commands' exit codes, and that dpkg --audit is empty. */
export function playbookVerdict({ code, differences, lost, audit, wrong }: Judged): Verdict {
  const isEqual = differences.length === 0 && audit === '' && wrong === '';
  if (isEqual) return lost.length > 0 ? 'lost' : 'equal';
  return code === 0 && audit === '' ? 'liar' : 'unnamed';
}

function reportOf(stdout: string): Report | undefined {
  try {
    return reportSchema.parse(JSON.parse(stdout));
  } catch {
    return undefined; // it was killed, or said something else
  }
}

/** It is said of the installation as a whole, of no package and no path of it. */
function isIntentLost({ recovery }: Report): boolean {
  return (recovery?.unmended ?? []).some(
    ({ finding, package: name, path }) =>
      finding === 'transaction-interrupted' && name === undefined && path === undefined,
  );
}

/** What a difference is about: a path, or a record in it. */
function subjectOf(difference: string): string {
  return /^.*record of \S+(?=: | )/.exec(difference)?.[0] ?? difference.slice(0, difference.indexOf(': '));
}

const LOST_FOUND = '/lost+found';
const LOST_FOUND_CODE = 'filesystem-lost-found';

/** What people keep for themselves (hier(7)): no snapshot knows what was there. */
const OF_PEOPLE = /^\/(?:home|media|mnt|opt|root|srv|usr\/local)\/./;

/**
 * Whether lost+found is named, and of a file that is missing nobody knows more: it lies there, whole, or was somebody's
 * own.
 */
function liesInLostFound(
  difference: string,
  { findings, recovery }: Report,
  after: RootImage,
  base: RootImage,
): boolean {
  const path = /^(.+?): missing, an? /.exec(difference)?.[1] ?? '';
  const was = base.entries.get(path);
  const said = [...findings, ...(recovery?.unmended ?? [])];
  if (was === undefined) return false;
  const isRepaired = said.some((one) => ('finding' in one ? one.finding : one.code) === LOST_FOUND_CODE);
  if (isRepaired && OF_PEOPLE.test(path) && !isOwned(base, path)) return true;
  if (was.type !== 'file' || !said.some((one) => one.path === LOST_FOUND)) return false;
  return [...after.entries].some(
    ([at, { type, hash }]) => at.startsWith(`${LOST_FOUND}/`) && type === 'file' && hash === was.hash,
  );
}

/**
 * Whether a difference (judge.ts) is about something that the last look names: its path, a directory above it, or its
 * package.
 */
function isNamed(difference: string, { findings, recovery }: Report, after: RootImage): boolean {
  const path = difference.slice(0, difference.indexOf(': '));
  const worth = findings.filter(({ severity }) => severity !== 'info');
  const said = [...worth, ...(recovery?.unmended ?? [])];
  const paths = [...said.map((one) => one.path), ...worth.map((one) => one.divertedTo)].filter(
    (one) => one !== undefined,
  );
  if (paths.some((one) => path === one || path.startsWith(`${one}/`))) return true;
  const { diversions } = parseDiversions(after.texts.get('/var/lib/dpkg/diversions') ?? '', 'diversions');
  const name = diversions.find(({ to }) => to === path)?.from ?? path;
  const packages = said.flatMap((one) => (one.package === undefined ? [] : [one.package.replace(/:.*/, '')]));
  const record = /record of ([^:]+):/.exec(difference)?.[1];
  const info = /^\/var\/lib\/dpkg\/info\/([^:/]+?)(?::[^:/]+)?\.[a-z0-9]+$/.exec(path)?.[1];
  return packages.some(
    (owner) => owner === record || owner === info || ownsFile(after, owner, name.replace(/^\/usr/, '')),
  );
}

function isOwned({ texts }: RootImage, path: string): boolean {
  return [...texts].some(
    ([file, text]) => /^\/var\/lib\/dpkg\/info\/[^/]+\.list$/.test(file) && text.split('\n').includes(path),
  );
}

/** @param path as it lies on disk, or without /usr where that is merged */
function ownsFile({ texts }: RootImage, name: string, path: string): boolean {
  for (const [file, text] of texts) {
    const owner = /^\/var\/lib\/dpkg\/info\/([^:/]+?)(?::[^:/]+)?\.list$/.exec(file)?.[1];
    if (owner !== name) continue;
    const paths = new Set(text.split('\n'));
    if (paths.has(path) || paths.has(`/usr${path}`)) return true;
  }
  return false;
}
