/** Events as lines for a person: plain, lower case, no full stop. */
import { pathForTerminal } from '../model/path-text.ts';
import type { Aspect, Filesystem, FilesystemError, WatchEvent } from './events.ts';

const ASPECTS: Readonly<Record<Aspect, string>> = {
  missing: 'it is gone',
  type: 'something else stands in its place',
  content: 'its content',
  mode: 'its mode',
  owner: 'its owner',
  target: 'where it points',
  unreadable: 'it cannot be read',
};

/** One line, without its end. */
export function eventLine(event: WatchEvent): string {
  return `${event.at} ${sentence(event)}`;
}

function sentence(event: WatchEvent): string {
  switch (event.kind) {
    case 'started':
      return `watching ${pathForTerminal(event.root)}: ${event.directories} directories, a heartbeat every ${event.heartbeatSeconds} s`;
    case 'stopped':
      return 'stopped';
    case 'no-snapshot':
      return 'there is no snapshot yet, so no change to a file can be seen; debmend snapshot takes one';
    case 'transaction-begun': {
      const command = event.command.length === 0 ? 'a program that was gone already' : quoted(event.command);
      const pid = event.pid === undefined ? '' : `, process ${event.pid}`;
      return `packages are changed without a hook: transaction ${event.transaction} of ${command}${pid}`;
    }
    case 'transaction-ended': {
      const { packages } = event;
      const what = packages.length === 0 ? 'no package changed' : `changed: ${list(packages)}`;
      const incomplete = event.complete ? '' : ', not all that it was meant to do';
      return `transaction ${event.transaction} is ${event.state}: ${what}${incomplete}`;
    }
    case 'transaction-failed':
      return `writing down transaction ${event.transaction ?? 'that is under way'}: ${event.message}`;
    case 'owned-file-changed':
    case 'conffile-changed': {
      const what = event.kind === 'conffile-changed' ? 'conffile' : 'file';
      const owner = event.package === undefined ? 'a package' : event.package;
      const changed = event.changed.map((aspect) => ASPECTS[aspect]).join(', ');
      return `${what} of ${owner} changed outside any transaction: ${pathForTerminal(event.path)}: ${changed}`;
    }
    case 'owned-file-restored':
      return `as it was again: ${pathForTerminal(event.path)}`;
    case 'filesystem-errors':
      return `${filesystem(event)} counts ${event.errors} errors, ${event.before} before${lastError(event.last)}`;
    case 'filesystem-warnings':
      return `${filesystem(event)} counts ${event.warnings} warnings, ${event.before} before`;
    case 'filesystem-errors-wiped':
      return `${filesystem(event)} counts ${event.errors} errors, ${event.before} before: a check of it wiped them${lastError(event.last)}`;
    case 'watching-limited':
      return event.what === 'database'
        ? `${event.sysctl} is too low (${event.errno}): dpkg's database is looked at every ${event.pollSeconds} s instead; raise it, and start debmend watch again`
        : `${event.sysctl} is too low (${event.errno}): ${event.directories} guarded directories are not watched, the first is ${pathForTerminal(event.first)}; raise it, and start debmend watch again`;
    case 'watching-failed':
      return `watching: ${event.message}`;
    case 'heartbeat-failed':
      return `writing the heartbeat: ${event.reason}`;
    case 'heartbeat-late':
      return `the heartbeat took ${event.seconds} s: the disk is slow, or stalls`;
    case 'store-failed':
      return event.message;
    case 'store-set-aside':
      return `the store was damaged (${event.reason}) and is set aside as ${pathForTerminal(event.file)}; the snapshots begin anew`;
  }
}

/** The most names of packages that a line has. */
const NAMES = 20;

function list(names: readonly string[]): string {
  const more = names.length - NAMES;
  return `${names.slice(0, NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function quoted(command: readonly string[]): string {
  return command
    .map((word) => (/^[\w./:=@%+,-]+$/.test(word) ? word : pathForTerminal(JSON.stringify(word))))
    .join(' ');
}

function filesystem({ device, mountPoints }: Filesystem): string {
  return `${device} (${mountPoints.map(pathForTerminal).join(', ')})`;
}

function lastError(error: FilesystemError | undefined): string {
  if (error === undefined) return '';
  const { at, func, line, inode, block, errcode } = error;
  const where = [
    func === undefined ? undefined : line === undefined ? func : `${func}:${line}`,
    inode === undefined ? undefined : `inode ${inode}`,
    block === undefined ? undefined : `block ${block}`,
    errcode,
    at === undefined ? undefined : `at ${at}`,
  ].filter((part) => part !== undefined);
  return `; the last: ${where.join(', ')}`;
}
