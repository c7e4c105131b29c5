/** What is said of filesystems: the verdict, each one in a line, the findings worst first, and what to do next. */
import { hostname, release } from 'node:os';
import type { FilesystemHealth } from '../fsck/status.ts';
import type { Filesystem, FilesystemState } from '../model/filesystem.ts';
import type { Finding } from '../model/finding.ts';
import { pathForTerminal, pathToText } from '../model/path-text.ts';
import type { Report } from '../model/report.ts';
import { SCHEMA_VERSION } from '../model/schema-version.ts';
import type { Root } from '../system/root.ts';
import { toolVersion } from '../system/tool.ts';
import { shellPath } from './human/commands.ts';
import { listing } from './human/listing.ts';
import { type Page, proseWidth, severityCounts } from './human/page.ts';
import { count, displayWidth, padding, painter, printable, type Style, size, wrap } from './human/text.ts';

export interface FilesystemsPageOptions {
  readonly colour: boolean;
  /** Columns of the terminal, or Infinity. */
  readonly width: number;
  /** What needs no hand, and what could not be asked, too. */
  readonly all: boolean;
}

/** The report of `debmend fsck status`. @param seconds the whole run took */
export function filesystemsReport(
  root: Root,
  { filesystems, findings, unread }: FilesystemHealth,
  startedAt: Date,
  seconds: number,
): Report {
  const severities = { info: 0, warning: 0, error: 0, critical: 0 };
  for (const { severity } of findings) severities[severity] += 1;
  const worse = severities.warning + severities.error + severities.critical;
  const unasked = [
    ...unread,
    ...filesystems.flatMap((one) => one.unread.map((what) => `${one.mountPoint}: ${what}`)),
  ];
  const unknown = filesystems.some(({ state }) => state === 'unknown');
  return {
    schemaVersion: SCHEMA_VERSION,
    tool: { name: 'debmend', version: toolVersion() },
    host: {
      ...(root.isHost ? { hostname: hostname(), kernel: release() } : {}),
      root: pathToText(root.path),
      admindir: '/var/lib/dpkg',
      privileged: process.geteuid?.() === 0,
    },
    summary: {
      verdict: worse > 0 ? 'findings' : unknown ? 'incomplete' : 'sound',
      severities,
      likelyOutage: findings.filter(({ likelyOutage }) => likelyOutage).length,
      packages: 0,
      files: 0,
      bytesRead: 0,
      unchecked: { count: unasked.length, paths: unasked },
      scope: { quick: false, packages: [], paths: [], archives: [] },
      startedAt: startedAt.toISOString(),
      seconds: Math.round(seconds * 1000) / 1000,
    },
    filesystems: [...filesystems],
    findings: [...findings],
  };
}

const STATE_STYLE: Readonly<Record<FilesystemState, Style>> = {
  sound: 'green',
  errors: 'red',
  'read-only': ['bold', 'red'],
  'shut-down': ['bold', 'red'],
  'not-answering': ['bold', 'red'],
  unknown: 'yellow',
  'not-applicable': 'cyan',
};
/** Worst first. */
const STATE_ORDER: readonly FilesystemState[] = [
  'not-answering',
  'shut-down',
  'read-only',
  'errors',
  'unknown',
  'sound',
  'not-applicable',
];

/** The page for a person; it ends in a newline. */
export function renderFilesystems(report: Report, options: FilesystemsPageOptions): string {
  const page: Page = { paint: painter(options.colour), all: options.all, width: options.width };
  const filesystems = report.filesystems ?? [];
  const blocks = [
    headline(report, filesystems, page),
    table(filesystems, page),
    ...listing(report.findings, page),
    unread(report, page),
    nextSteps(report, filesystems, page),
  ];
  return `${blocks
    .filter((block) => block.length > 0)
    .map((block) => block.join('\n'))
    .join('\n\n')}\n`;
}

function headline(report: Report, filesystems: readonly Filesystem[], page: Page): string[] {
  const wrong = report.findings.filter(({ severity }) => severity !== 'info');
  const say = (style: Style, text: string): string[] =>
    wrap(text, proseWidth(page)).map((line) => page.paint(['bold', style].flat() as Style, line));
  if (wrong.length > 0) {
    const style = wrong.some(({ severity }) => severity !== 'warning') ? 'red' : 'yellow';
    return [...say(style, count(wrong.length, 'finding')), severityCounts(wrong)];
  }
  if (filesystems.every(({ state }) => state === 'not-applicable'))
    return say(
      'cyan',
      'not applicable: there is no filesystem on a block device here, so only files can be checked (debmend audit)',
    );
  const unknown = filesystems.filter(({ state }) => state === 'unknown').length;
  if (unknown > 0)
    return say('yellow', `incomplete: of ${count(unknown, 'filesystem')} it is not known how it is`);
  const looked = filesystems.filter(({ state }) => state === 'sound').length;
  return say('green', `sound: ${count(looked, 'filesystem')} without a recorded error`);
}

function table(filesystems: readonly Filesystem[], page: Page): string[] {
  const rows = filesystems
    .filter(({ state }) => page.all || state !== 'not-applicable')
    .toSorted((a, b) => STATE_ORDER.indexOf(a.state) - STATE_ORDER.indexOf(b.state))
    .map((one) => ({
      one,
      cells: [one.state, pathForTerminal(one.mountPoint), one.type, printable(one.device ?? one.source)],
    }));
  const widths = [0, 1, 2, 3].map((at) =>
    rows.reduce((most, { cells }) => Math.max(most, displayWidth(cells[at] ?? '')), 0),
  );
  return rows.flatMap(({ one, cells }) => {
    const [state = '', ...rest] = cells.map((cell, at) => cell + padding(cell, widths[at] ?? 0));
    const about = details(one).join(', ');
    const head = [page.paint(STATE_STYLE[one.state], state), ...rest].join('  ').trimEnd();
    const room = page.width - (widths.reduce((sum, width) => sum + width + 2, 2) + displayWidth(about));
    if (about === '') return [`  ${head}`];
    return room >= 0
      ? [`  ${head}  ${about}`]
      : [`  ${head}`, ...wrap(about, proseWidth(page) - 6).map((line) => `      ${line}`)];
  });
}

function details(one: Filesystem): string[] {
  const { ext4, space, bootCheck } = one;
  if (one.state === 'not-applicable' || one.state === 'not-answering' || one.state === 'unknown')
    return [printable(one.reason ?? '')].filter((text) => text !== '');
  const mounts = ext4?.mountCount;
  const below = one.layers
    .filter(({ kind }) => kind === 'lvm' || kind === 'dm-crypt' || kind === 'md')
    .map(({ kind }) => kind);
  return [
    ...(below.length === 0 ? [] : [`on ${[...new Set(below)].join(' on ')}`]),
    ...(space === undefined || space.size === 0
      ? []
      : [`${size(space.available)} of ${size(space.size)} free`]),
    ...(ext4?.lastCheck === undefined ? [] : [`checked ${ext4.lastCheck.slice(0, 10)}`]),
    ...(mounts === undefined ? [] : [`${count(mounts, 'mount')} since`]),
    ...(bootCheck === undefined ? [] : [`at this boot: ${bootCheck.outcome}`]),
  ];
}

function unread({ summary, host }: Report, page: Page): string[] {
  const { count: n, paths } = summary.unchecked;
  if (n === 0) return [];
  const why = host.privileged ? '' : ', perhaps for want of rights';
  if (!page.all) return [`${count(n, 'thing')} could not be asked${why}: --all tells which`];
  return [page.paint('bold', `could not be asked${why}`), ...paths.map((what) => `  ${printable(what)}`)];
}

function nextSteps(report: Report, filesystems: readonly Filesystem[], page: Page): string[] {
  const steps = [...stepsFor(report.host.root, report.findings, filesystems)];
  if (steps.length === 0) return [];
  const width = proseWidth(page);
  return [
    page.paint('bold', 'what to do next'),
    ...steps.flatMap(({ text, command }, index) => {
      const label = steps.length === 1 ? '' : `${index + 1}. `;
      const indent = ' '.repeat(2 + label.length);
      return [
        ...wrap(text, width - indent.length).map((line, at) =>
          at === 0 ? `  ${label}${line}` : indent + line,
        ),
        ...(command === undefined ? [] : [`${indent}    ${page.paint('bold', command)}`]),
      ];
    }),
  ];
}

interface Step {
  readonly text: string;
  readonly command?: string;
}

function* stepsFor(
  root: string,
  findings: readonly Finding[],
  filesystems: readonly Filesystem[],
): Generator<Step> {
  const of = (...codes: Finding['code'][]): Finding[] => findings.filter(({ code }) => codes.includes(code));
  const devices = [
    ...new Set(of('filesystem-io-errors', 'filesystem-not-answering').flatMap(({ device }) => device ?? [])),
  ];
  if (devices.length > 0)
    yield {
      text:
        `the disk first: copy your data off ${devices.map(printable).join(', ')} before anything is repaired; ` +
        'smartctl and dmesg tell what the disk says of itself',
    };
  const damaged = new Set(
    of('filesystem-errors', 'filesystem-read-only', 'filesystem-check-failed').flatMap(
      ({ path }) => path ?? [],
    ),
  );
  const checked = filesystems.filter(({ mountPoint }) => damaged.has(mountPoint));
  const offline = checked.filter(({ type }) => type !== 'btrfs');
  if (offline.length > 0 && root === '/')
    yield {
      text: 'have what is damaged checked at the next boot; a filesystem cannot be checked while it is mounted',
      command: `debmend fsck schedule ${offline.map(({ mountPoint }) => shellPath(mountPoint)).join(' ')}`,
    };
  // The next boot of this machine checks nothing that belongs to another root.
  if (root !== '/')
    for (const { source, mountPoint } of offline)
      yield {
        text: `unmount what is mounted at ${pathForTerminal(mountPoint)} of that root, and check it then`,
        command: `debmend fsck run ${shellPath(source)}`,
      };
  const online = checked.filter(({ type }) => type === 'btrfs').map(({ mountPoint }) => mountPoint);
  if (online.length > 0)
    yield {
      text: 'let btrfs read everything and mend what it has a second copy of',
      command: `debmend fsck scrub ${online.map(shellPath).join(' ')}`,
    };
  if (of('filesystem-check-corrected').length > 0)
    yield {
      text: 'look into lost+found, and at which package files are damaged now',
      command: 'debmend audit',
    };
  const packages = new Set(of('filesystem-file-damaged').flatMap(({ package: name }) => name ?? []));
  if (packages.size > 0)
    yield {
      text: `then mend the files of ${count(packages.size, 'package')} that were hit: after the check, not before`,
      command: 'debmend recover',
    };
  if (of('filesystem-space').length > 0)
    yield { text: 'make room before anything is installed', command: 'apt-get clean' };
  if (of('filesystem-weak-options').some(({ severity }) => severity !== 'info'))
    yield {
      text: 'take the weak options out of /etc/fstab, or out of the superblock with tune2fs -o ^OPTION',
    };
}
