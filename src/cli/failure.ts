/** How a failure is said: one line of what failed, one of what to do; the whole story only when asked for. */
import { DebmendError, messageOf } from '../system/errors.ts';
import { EXIT } from './exit-codes.ts';

/** How the line begins that says so. */
export const OWN_FILES_DAMAGED = 'debmend: its own files are damaged';

/** Codes of Node.js for a program of which files are missing or no longer what they were (nodejs.org, Errors). */
const DAMAGED_PROGRAM: ReadonlySet<unknown> = new Set([
  'MODULE_NOT_FOUND',
  'ERR_MODULE_NOT_FOUND',
  'ERR_DLOPEN_FAILED',
  'ERR_INVALID_PACKAGE_CONFIG',
]);

function isOfOwnFiles(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ('code' in error && DAMAGED_PROGRAM.has(error.code)) || isOfOwnFiles(error.cause);
}

/** Prints an error to standard error and returns the exit code for it. */
export function reportFailure(error: unknown): number {
  if (isOfOwnFiles(error)) {
    process.stderr.write(`${OWN_FILES_DAMAGED}: ${messageOf(error).split('\n', 1)[0]}\n`);
    process.stderr.write(
      "hint: install debmend again, or mend this disk from a sound machine: 'debmend recover --root DIR --apply'\n",
    );
    showStack(error);
    return EXIT.failed;
  }
  if (!(error instanceof DebmendError)) {
    process.stderr.write(`debmend: failed unexpectedly: ${messageOf(error)}\n`);
    process.stderr.write('hint: this is a mistake in debmend; DEBMEND_DEBUG=1 shows where\n');
    showStack(error);
    return EXIT.failed;
  }
  process.stderr.write(`debmend: ${error.message} [${error.code}]\nhint: ${error.hint}\n`);
  showStack(error);
  switch (error.code) {
    case 'usage':
    case 'config-unreadable':
    case 'config-invalid':
    case 'unknown-package':
    case 'unknown-snapshot':
    case 'unknown-transaction':
    case 'unknown-run':
    case 'unknown-quarantine':
      return EXIT.usage;
    case 'locked':
      return EXIT.locked;
    case 'interrupted':
      return EXIT.interrupted;
    case 'root-unreadable':
    case 'root-unwritable':
    case 'cannot-run-programs':
    case 'no-dpkg-database':
    case 'database-changed':
    case 'output-unwritable':
    case 'scan-failed':
    case 'archive-unreadable':
    case 'store-unusable':
    case 'hooks-unwritable':
    case 'services-unwritable':
    case 'services-not-started':
    case 'action-refused':
    case 'action-failed':
    case 'filesystem-unreadable':
    case 'filesystem-unknown':
    case 'filesystem-in-use':
    case 'repair-refused':
    case 'program-missing':
    case 'check-refused':
    case 'check-not-asked':
    case 'disk-full':
    case 'read-only':
      return EXIT.failed;
  }
}

/** What commander has against the command line, said as everything else is; the hint comes after it. */
export function usageLine(message: string): string {
  const said = message
    .trim()
    .replace(/^error: /, '')
    .replace(/\n\((\w)/, (_, letter: string) => ` (${letter.toLowerCase()}`)
    .replace(/\. ([A-Z])/, (_, letter: string) => `: ${letter.toLowerCase()}`)
    .replace(/\.$/, '');
  return `debmend: ${said} [usage]\n`;
}

function showStack(error: unknown): void {
  if (process.env['DEBMEND_DEBUG'] === '1' && error instanceof Error)
    process.stderr.write(`${error.stack}\n`);
}
