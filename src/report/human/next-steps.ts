/**
 * What to do next, in the order in which it is safe: the disk, dpkg's database, what must not be lost, reinstalling,
 * configuring, the rest. Nothing that is said here destroys anything; where two mends are possible the careful one is
 * named. dpkg's and apt's traps that decide the words were tried on a real Debian (facts about dpkg, "traps").
 */
import type { Finding } from '../../model/finding.ts';
import { pathForTerminal } from '../../model/path-text.ts';
import type { Report } from '../../model/report.ts';
import { aptPackage, shellPath } from './commands.ts';
import { databaseNotes } from './database-steps.ts';
import { type Page, proseWidth } from './page.ts';
import { count, number, printable, sentenceList, wrap } from './text.ts';
import { byTopic, damagesDatabase, type Topics } from './topics.ts';

interface Step {
  readonly text: string;
  readonly notes?: readonly string[];
  /** Below the notes; never broken into lines, for spaces occur in names. */
  readonly paths?: readonly string[];
  /** Never broken into lines, so that it can be copied. */
  readonly command?: string | undefined;
}

/** More names than this are counted rather than listed, unless everything was asked for. */
const MOST_NAMES = 12;

export function nextSteps(report: Report, page: Page): string[] {
  const topics = byTopic(report.findings);
  const steps = [...stepsFor(report, topics, page)];
  if (steps.length === 0) return [];
  const lines = [page.paint('bold', 'what to do next')];
  if (report.host.root !== '/') {
    lines.push(`  commands and paths are meant inside ${pathForTerminal(report.host.root)}`);
  }
  const width = proseWidth(page);
  steps.forEach((step, index) => {
    const label = steps.length === 1 ? '' : `${String(index + 1).padStart(String(steps.length).length)}. `;
    const indent = 2 + label.length;
    wrap(step.text, width - indent).forEach((line, i) => {
      lines.push(i === 0 ? `  ${label}${line}` : ' '.repeat(indent) + line);
    });
    const deeper = ' '.repeat(indent + 4);
    if (step.command !== undefined) lines.push(deeper + page.paint('bold', step.command));
    for (const note of step.notes ?? []) {
      wrap(note, width - indent - 2).forEach((line, i) => {
        lines.push(`${' '.repeat(indent)}${i === 0 ? '- ' : '  '}${line}`);
      });
    }
    for (const path of step.paths ?? []) lines.push(deeper + page.paint('bold', pathForTerminal(path)));
  });
  return lines;
}

function* stepsFor(report: Report, topics: Topics, page: Page): Generator<Step> {
  const names = (findings: readonly Finding[]): string => packageNames(findings, page.all);
  const live = report.host.root === '/';

  const disk = topics.get('disk');
  if (disk) yield diskStep(disk);

  if (topics.has('filesystem')) {
    yield {
      text: 'look after the filesystems before anything is written to them: packages are not whole on a damaged one',
      command: 'debmend fsck status',
    };
  }

  const mendFirst = damagesDatabase(topics);
  if (mendFirst) {
    const copy = disk
      ? 'copy it to another disk before anything else'
      : 'make a copy of it before anything else';
    const timers =
      'apt-daily.timer and apt-daily-upgrade.timer start apt by themselves: stop them until then';
    yield {
      text: `do not run apt or dpkg before dpkg's database is mended, and ${copy}`,
      command: disk ? undefined : `cp -a ${shellPath(report.host.admindir)} /root/dpkg-copy`,
      notes: [...(live ? [timers] : []), ...databaseNotes(topics, names)],
    };
  }
  const orphans = topics.get('orphans');
  if (orphans) {
    yield {
      text:
        `look whether the status file lost ${packageNames(orphans, page.all, 'entries')}: control files are there without one; ` +
        'status-old and /var/backups/dpkg.status.* show whether it was there before',
    };
  }
  yield* keepSteps(report.findings, topics);

  const reinstall = [...(topics.get('lists') ?? []), ...(topics.get('reinstall') ?? [])];
  if (reinstall.length > 0) yield reinstallStep(reinstall, mendFirst, page);

  const configure = topics.get('configure');
  if (configure) {
    const when =
      reinstall.length > 0
        ? 'after that, finish configuring'
        : mendFirst
          ? 'then finish configuring'
          : 'finish configuring';
    yield { text: `${when} ${names(configure)}`, command: 'dpkg --configure -a' };
  }
  const conffiles = topics.get('conffiles');
  if (conffiles) {
    yield {
      text:
        `put back ${count(conffiles.length, 'conffile')} (${names(conffiles)}) from your own backup, or else from ` +
        'the .deb: reinstalling a package leaves its damaged conffiles as they are',
    };
  }
  const unowned = topics.get('unowned');
  if (unowned) {
    yield {
      text: `put back ${count(unowned.length, 'file')} that no package brings back from your own backup`,
    };
  }
  const boot = topics.get('boot');
  if (boot) {
    yield {
      text: 'do not restart the system before what it starts from is whole: the packages first, then these files',
      paths: [...new Set(boot.flatMap(({ path }) => path ?? []))],
    };
  }
  const generated = topics.get('generated');
  if (generated) {
    yield {
      text: `have ${count(generated.length, 'file')} made again that programs of packages make (${names(generated)})`,
    };
  }
  const marks = topics.get('auto-marks');
  if (marks) {
    yield {
      text:
        'run no autoremove: apt no longer knows which packages were asked for; ' +
        '/var/backups/apt.extended_states.* holds copies of that record',
    };
  }
  if (topics.has('apt')) {
    const when =
      mendFirst || reinstall.length > 0 || configure ? 'when the packages are mended, fetch' : 'fetch';
    yield { text: `${when} apt's package indexes anew`, command: 'apt-get update' };
  }
  if (topics.has('transaction')) {
    yield {
      text: 'see what the interrupted installation was going to do, and run its command again when the packages are mended',
      command: 'debmend transaction show latest',
    };
  }
  if (topics.has('store')) {
    yield {
      text: "let debmend begin its store anew; the damaged one is kept in 'damaged' beside it",
      command: 'debmend snapshot create',
    };
  }
  const calm = topics.get('calm');
  if (calm) {
    const they = calm.length === 1 ? 'it does' : 'they do';
    const looks = calm.some((finding) => finding.likelyOutage)
      ? ''
      : `${they} not look like the work of a power cut; `;
    yield {
      text:
        `nothing is urgent about ${count(calm.length, 'finding')} (${packageNames(calm, page.all, 'of no package')}): ${looks}` +
        'ask who made a change before undoing it',
    };
  }
  if (topics.size > (calm ? 1 : 0)) yield auditAgain(report);
  else if (readableByRoot(report) > 0) {
    yield { text: `run debmend as root to have ${count(readableByRoot(report), 'unread file')} checked` };
  }
}

function readableByRoot({ host, summary }: Report): number {
  return host.privileged ? 0 : summary.unchecked.count;
}

function auditAgain(report: Report): Step {
  const { root } = report.host;
  const { scope } = report.summary;
  const partial = scope.quick || scope.packages.length > 0 || scope.paths.length > 0;
  const asRoot = readableByRoot(report) > 0 ? ' as root' : '';
  return {
    text: `audit again${asRoot}${partial ? ', everything this time' : ''}: apt and dpkg can exit with 0 and leave damage behind`,
    command: `debmend audit${root === '/' ? '' : ` --root ${shellPath(root)}`}`,
  };
}

function diskStep(disk: readonly Finding[]): Step {
  const devices = [...new Set(disk.flatMap((finding) => finding.device ?? []))].map(printable);
  const files = count(disk.length, 'file');
  const notes = [
    'dmesg and smartctl show what the disk says of itself; do not mend packages on it before it is known to be good',
  ];
  if (devices.length === 0) {
    return {
      text: `find out first why ${files} cannot be read; if it is the disk, copy your data off it`,
      notes,
    };
  }
  return {
    text: `the disk first: reading ${files} failed on ${sentenceList(devices)}; copy your data off it now`,
    notes,
  };
}

/** What an administrator in a hurry would tidy away, and must not. */
function* keepSteps(findings: readonly Finding[], topics: Topics): Generator<Step> {
  const pending = topics.get('pending');
  if (pending) {
    const [what, its, it, each] =
      pending.length === 1
        ? ['the .dpkg-new of 1 conffile', 'its package is', 'it', 'it is not']
        : [`the .dpkg-new of ${number(pending.length)} conffiles`, 'their packages are', 'them', 'none is'];
    yield {
      text: `keep ${what} until ${its} configured: without ${it} dpkg believes that nothing is left to do`,
      notes: [`check before that ${each} empty or full of NUL bytes: dpkg would install it as it is`],
    };
  }
  const leftovers = topics.get('leftovers');
  if (!leftovers) return;
  const missing = new Set(
    findings.flatMap(({ code, path }) => (path !== undefined && code.endsWith('-missing') ? [path] : [])),
  );
  const onlyCopies = leftovers.flatMap(({ path }) => {
    const original = path?.endsWith('.dpkg-tmp') ? path.slice(0, -'.dpkg-tmp'.length) : undefined;
    return path !== undefined && original !== undefined && missing.has(original) ? [path] : [];
  });
  yield {
    text:
      `leave ${count(leftovers.length, 'temporary file')} of dpkg where ${leftovers.length === 1 ? 'it is' : 'they are'} ` +
      'until the packages are mended: a .dpkg-tmp whose original is missing is the only copy',
    notes: onlyCopies.length === 0 ? [] : ['here it is, so keep and copy these before anything else:'],
    paths: onlyCopies,
  };
}

function reinstallStep(reinstall: readonly Finding[], mendFirst: boolean, page: Page): Step {
  const packages = [...Map.groupBy(reinstall, (finding) => finding.package ?? '').values()];
  const targets = packages.flatMap((group) => group.map(aptPackage).find((target) => target) ?? []);
  // A command that left some out would be taken for the whole.
  const complete = targets.length === packages.length && (page.all || targets.length <= MOST_NAMES);
  const when = mendFirst ? 'when the database is mended, reinstall' : 'reinstall';
  const it = packages.length === 1 ? 'it' : 'them';
  return {
    text: `${when} ${packageNames(reinstall, page.all)} at the same version; configuring alone does not mend ${it}`,
    command: complete ? `apt-get install --reinstall ${targets.join(' ')}` : undefined,
    notes: [
      'say no if apt wants to remove anything; read what it prints: it exits with 0 even if it found no archive',
    ],
  };
}

function packageNames(
  findings: readonly Finding[],
  all: boolean,
  nameless = 'packages that dpkg does not know',
): string {
  const names = [...new Set(findings.flatMap((finding) => finding.package ?? []))].map(printable);
  if (names.length === 0) return nameless;
  if (all || names.length <= MOST_NAMES) return sentenceList(names);
  return `${names.slice(0, MOST_NAMES).join(', ')} and ${number(names.length - MOST_NAMES)} more packages`;
}
