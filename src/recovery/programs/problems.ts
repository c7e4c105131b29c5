/**
 * What dpkg and apt say of what went wrong. Their exit codes don't tell (facts: `apt-get -f install` can exit 0 and
 * leave a package half-installed); what they say tells more, and the database, read again, tells all (I11).
 */
import type { Bytes } from '../../system/bytes.ts';

export interface ProgramProblem {
  readonly by: 'dpkg' | 'apt';
  /** The package as dpkg writes it, with `:arch` where it has one. */
  readonly package?: Bytes;
  /** The .deb, where dpkg names it instead of a package. */
  readonly archive?: Bytes;
  /** dpkg's option: `--configure`, `--unpack`, `--install`, `--remove`, `--purge`, `--triggers`. */
  readonly operation?: string;
  /** Its words, on one line. */
  readonly message: Bytes;
}

/** `dpkg: error processing package x (--configure):` (src/main/errors.c, print_error_perpackage and _perarchive). */
const PROCESSING = /^dpkg: error processing (package|archive) (\S+) \((--[a-z-]+)\):$/;
/** One that ends the whole run: `dpkg: error: …`, or `dpkg: unrecoverable fatal error, aborting:` and a line. */
const FATAL =
  /^dpkg(?:-deb|-split|-query|-divert|-statoverride)?: (?:error: |unrecoverable fatal error, aborting:)(.*)$/;
const LISTED = 'Errors were encountered while processing:';

/**
 * Parses what dpkg, or apt with dpkg below it, wrote to both of its outputs, with LC_ALL=C. Each package that failed is
 * there once for each thing said of it, and at least once when dpkg only lists it at its end. Never throws.
 */
export function parseProblems(stdout: Bytes, stderr: Bytes): ProgramProblem[] {
  const problems: ProgramProblem[] = [];
  const listed: Bytes[] = [];
  for (const text of [stdout, stderr]) {
    const lines = text.split('\n');
    for (let at = 0; at < lines.length; at += 1) {
      const line = lines[at] ?? '';
      const processing = PROCESSING.exec(line);
      if (processing !== null) {
        const { message, end } = indented(lines, at + 1);
        at = end - 1;
        const [, kind, subject = '', operation = ''] = processing;
        const what = kind === 'package' ? { package: subject } : { archive: subject };
        problems.push({ by: 'dpkg', ...what, operation, message: message || line });
        continue;
      }
      if (line === LISTED) {
        for (at += 1; /^ \S/.test(lines[at] ?? ''); at += 1) listed.push((lines[at] ?? '').trim());
        at -= 1;
        continue;
      }
      const fatal = FATAL.exec(line);
      if (fatal !== null) {
        const { message, end } = indented(lines, at + 1);
        at = end - 1;
        problems.push({ by: 'dpkg', message: [fatal[1]?.trim(), message].filter(Boolean).join(' ') });
      } else if (line.startsWith('E: ')) problems.push({ by: 'apt', message: line.slice(3).trim() });
      else if (/^Reinstallation of \S+ is not possible/.test(line)) {
        // apt says so and exits 0 (facts, "Traps").
        problems.push({ by: 'apt', message: line.trim() });
      }
    }
  }
  const named = new Set(problems.flatMap((problem) => [problem.package, problem.archive]));
  for (const subject of listed) {
    if (named.has(subject)) continue;
    const what = subject.endsWith('.deb') ? { archive: subject } : { package: subject };
    problems.push({ by: 'dpkg', ...what, message: 'errors were encountered while processing it' });
  }
  return problems;
}

/** The lines that belong to a heading: they begin with a blank. */
function indented(lines: readonly Bytes[], from: number): { message: Bytes; end: number } {
  let end = from;
  while (/^\s+\S/.test(lines[end] ?? '')) end += 1;
  const message = lines
    .slice(from, end)
    .map((line) => line.trim())
    .join(' ');
  return { message, end };
}
