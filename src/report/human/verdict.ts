/** The first lines: how bad it is, and what that was judged by. */
import type { Finding } from '../../model/finding.ts';
import { pathForTerminal } from '../../model/path-text.ts';
import type { Report } from '../../model/report.ts';
import { area } from './groups.ts';
import { type Page, proseWidth, severityCounts } from './page.ts';
import { count, duration, number, padding, printable, sentenceList, size, wrap } from './text.ts';

/** dpkg's own default (`dpkg --help`, `--admindir`): only another one is worth a line. */
const DEFAULT_ADMINDIR = '/var/lib/dpkg';

interface Row {
  readonly label: 'looked at' | 'but only' | 'not read';
  readonly text: string;
  /** A path stands in it, perhaps with spaces: the line is not to be broken. */
  readonly whole?: boolean;
}

const LABEL_WIDTH = 'looked at'.length;

export function verdict(report: Report, page: Page): string[] {
  const wrong = report.findings.filter((finding) => finding.severity !== 'info');
  const lines = headline(report, wrong, page);
  let previous = '';
  for (const { label, text, whole } of [...lookedAt(report), ...limits(report), ...unchecked(report, page)]) {
    const shown = label === previous ? '' : label;
    previous = label;
    const room = proseWidth(page) - LABEL_WIDTH - 4;
    (whole ? [text] : wrap(text, room)).forEach((line, index) => {
      const head = index === 0 ? shown : '';
      lines.push(`  ${page.paint('bold', head)}${padding(head, LABEL_WIDTH)}  ${line}`);
    });
  }
  return lines;
}

function headline(report: Report, wrong: readonly Finding[], page: Page): string[] {
  const { quick } = report.summary.scope;
  if (wrong.length > 0) {
    const style = wrong.some((finding) => finding.severity !== 'warning') ? 'red' : 'yellow';
    const text = `${count(wrong.length, 'finding')}, ${ofAnOutage(wrong)}`;
    const counts = `${severityCounts(wrong)} in ${places(wrong)}`;
    return [
      ...wrap(text, proseWidth(page)).map((line) => page.paint(['bold', style], line)),
      ...wrap(counts, proseWidth(page)),
    ];
  }
  if (report.summary.verdict === 'incomplete' || report.summary.unchecked.count > 0) {
    const what =
      report.summary.unchecked.count > 0 ? count(report.summary.unchecked.count, 'file') : 'something';
    const text = `incomplete: ${what} could not be checked, no damage was found in the rest`;
    return wrap(text, proseWidth(page)).map((line) => page.paint(['bold', 'yellow'], line));
  }
  const text = quick
    ? 'sound as far as package states and leftovers tell: no damage was found'
    : 'sound: no damage was found, nothing else to do';
  return wrap(text, proseWidth(page)).map((line) => page.paint(['bold', 'green'], line));
}

/** `8 packages, dpkg's database and apt's state`. */
function places(wrong: readonly Finding[]): string {
  const packages = new Set(wrong.flatMap((finding) => finding.package ?? [])).size;
  const areas = new Set(wrong.flatMap((finding) => (finding.package === undefined ? area(finding) : [])));
  return sentenceList([...(packages > 0 ? [count(packages, 'package')] : []), ...areas]);
}

function ofAnOutage(wrong: readonly Finding[]): string {
  const outage = wrong.filter((finding) => finding.likelyOutage).length;
  const verb = outage < 2 ? 'looks' : 'look';
  const like = 'like the work of a power cut';
  const marked = `${like} (marked outage)`;
  if (wrong.length === 1) return outage === 1 ? `which looks ${like}` : `which does not look ${like}`;
  if (outage === 0) return `none of which looks ${like}`;
  if (outage === wrong.length) return `all of which look ${marked}`;
  return `of which ${number(outage)} ${verb} ${marked}`;
}

function* lookedAt({ host, summary }: Report): Generator<Row> {
  const label = 'looked at';
  const system = [host.hostname, host.os, host.architecture].flatMap((part) => part ?? []).map(printable);
  if (host.root !== '/') yield { label, text: `the root ${pathForTerminal(host.root)}`, whole: true };
  if (system.length > 0) yield { label, text: system.join(', ') };
  if (host.admindir !== DEFAULT_ADMINDIR) {
    yield { label, text: `dpkg's database in ${pathForTerminal(host.admindir)}`, whole: true };
  }
  const content = summary.scope.quick ? 'no content read' : `${size(summary.bytesRead)} read`;
  const counts = [count(summary.packages, 'package'), count(summary.files, 'file'), content];
  yield { label, text: `${counts.join(', ')} in ${duration(summary.seconds)}` };
  for (const archive of summary.scope.archives) {
    yield { label, text: `and the .deb files in ${pathForTerminal(archive)}`, whole: true };
  }
}

function* limits({ summary: { scope } }: Report): Generator<Row> {
  const label = 'but only';
  if (scope.quick) {
    yield { label, text: 'package states and leftovers (--quick): damage inside files was not looked for' };
  }
  if (scope.packages.length > 0) {
    const what = scope.packages.length === 1 ? 'package' : 'packages';
    yield { label, text: `the ${what} ${sentenceList(scope.packages.map(printable))}` };
  }
  for (const path of scope.paths) yield { label, text: `what lies at ${pathForTerminal(path)}`, whole: true };
}

function* unchecked({ host, summary }: Report, page: Page): Generator<Row> {
  const label = 'not read';
  const { count: n, paths } = summary.unchecked;
  if (n === 0) return;
  const why = host.privileged
    ? "although debmend had root's rights"
    : `for want of rights: root would read ${n === 1 ? 'it' : 'them'}`;
  yield { label, text: `${count(n, 'file')} ${why}` };
  if (!page.all || paths.length === 0) return;
  for (const path of paths) yield { label, text: pathForTerminal(path), whole: true };
  if (n > paths.length) yield { label, text: `… and ${number(n - paths.length)} more` };
}
