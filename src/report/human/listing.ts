/**
 * The findings as aligned rows: severity, `outage` where it looks like the work of a power cut, code, path, message.
 * A path is never cut: where a group's paths don't fit beside the codes, each goes on a line of its own.
 */
import type { Finding } from '../../model/finding.ts';
import { pathForTerminal } from '../../model/path-text.ts';
import { type Group, groupFindings } from './groups.ts';
import { type Page, SEVERITY_STYLE, severityCounts } from './page.ts';
import { displayWidth, number, oneLine, padding, printable, wrap } from './text.ts';

/** A group with more findings than this is folded to the first few. */
const FOLD_ABOVE = 10;
const SHOWN_WHEN_FOLDED = 5;
/** A single long path must not push every message of its group out to the right. */
const WIDEST_PATH_COLUMN = 64;
const OUTAGE = 'outage';
const GAP = '  ';
/** Where a long path begins on its own line, and the least room that a message is broken into. */
const LEFTMOST = 4;
const LEAST_ROOM = 30;

interface Columns {
  readonly severity: number;
  /** Zero when nothing that is listed looks like the work of a power cut. */
  readonly outage: number;
}

/** One block of lines a group. */
export function listing(findings: readonly Finding[], page: Page): string[][] {
  const listed = page.all ? findings : findings.filter((finding) => finding.severity !== 'info');
  const columns: Columns = {
    severity: widest(listed.map((finding) => finding.severity)),
    outage: listed.some((finding) => finding.likelyOutage) ? OUTAGE.length : 0,
  };
  return groupFindings(listed).map((group) => block(group, columns, page));
}

function block(group: Group, columns: Columns, page: Page): string[] {
  const folded = !page.all && group.findings.length > FOLD_ABOVE;
  const shown = (folded ? group.findings.slice(0, SHOWN_WHEN_FOLDED) : group.findings).map(toRow);
  const layout = layOut(shown, columns, page.width);
  const version = group.version === undefined ? '' : ` ${printable(group.version)}`;
  const lines = [
    `${page.paint('bold', group.title)}${version}: ${severityCounts(group.findings)}`,
    ...shown.flatMap((row) => rowLines(row, layout, page)),
  ];
  if (folded) {
    const hidden = group.findings.slice(SHOWN_WHEN_FOLDED);
    lines.push(`  … and ${number(hidden.length)} more (${severityCounts(hidden)}): --all shows them`);
  }
  return lines;
}

interface Row {
  readonly finding: Finding;
  /** Empty when the finding has none. */
  readonly path: string;
  readonly message: string;
}

function toRow(finding: Finding): Row {
  const path = finding.path === undefined ? '' : pathForTerminal(finding.path);
  return { finding, path, message: printable(finding.message) };
}

/** Where things stand on the lines of one group; columns are counted from 0. */
interface Layout extends Columns {
  readonly codeAt: number;
  readonly pathAt: number;
  readonly messageAt: number;
  /** Paths on lines of their own. */
  readonly stacked: boolean;
  /** Messages that have a path stand all on the first line or all below the path. */
  readonly messagesBelow: boolean;
}

function layOut(rows: readonly Row[], columns: Columns, width: number): Layout {
  const marks = columns.outage === 0 ? 0 : columns.outage + GAP.length;
  const codeAt = GAP.length + columns.severity + GAP.length + marks;
  const pathAt = codeAt + widest(rows.map((row) => row.finding.code)) + GAP.length;
  const pathWidth = widest(rows.map((row) => row.path));
  const stacked = pathAt + pathWidth > width;
  const messageAt =
    stacked || pathWidth === 0 ? pathAt : pathAt + Math.min(pathWidth, WIDEST_PATH_COLUMN) + GAP.length;
  const messagesBelow = rows.some((row) => row.path !== '' && messageAt + displayWidth(row.message) > width);
  return { ...columns, codeAt, pathAt, messageAt, stacked, messagesBelow: stacked && messagesBelow };
}

function rowLines({ finding, path, message }: Row, layout: Layout, page: Page): string[] {
  const { severity, code } = finding;
  const mark = finding.likelyOutage ? OUTAGE : '';
  let line = GAP + page.paint(SEVERITY_STYLE[severity], severity) + padding(severity, layout.severity) + GAP;
  if (layout.outage > 0) line += page.paint('magenta', mark) + padding(mark, layout.outage) + GAP;
  line += code;
  let end = layout.codeAt + code.length;
  const under = ' '.repeat(layout.codeAt);
  const below: string[] = [];

  if (path !== '' && layout.stacked) {
    // A path that fits only further to the left goes there: whole on one line it can be read and copied.
    const fits = layout.codeAt + displayWidth(path) <= page.width;
    below.push((fits ? under : ' '.repeat(LEFTMOST)) + page.paint('bold', path));
  } else if (path !== '') {
    line += ' '.repeat(layout.pathAt - end) + page.paint('bold', path);
    end = layout.pathAt + displayWidth(path);
  }
  // Without a path the message takes its place; a path wider than its column pushes the message on.
  const messageAt = path === '' ? layout.pathAt : Math.max(layout.messageAt, end + GAP.length);
  const room = Math.max(LEAST_ROOM, page.width - layout.codeAt);
  if (messageAt + displayWidth(message) <= page.width && !(path !== '' && layout.messagesBelow)) {
    line += ' '.repeat(messageAt - end) + message;
  } else for (const text of wrap(message, room)) below.push(under + text);
  if (finding.dpkgMessage !== undefined) {
    wrap(`dpkg says: ${oneLine(finding.dpkgMessage)}`, room - GAP.length).forEach((text, index) => {
      below.push(under + (index === 0 ? '' : GAP) + text);
    });
  }
  return [line, ...below];
}

function widest(texts: readonly string[]): number {
  return texts.reduce((most, text) => Math.max(most, displayWidth(text)), 0);
}
