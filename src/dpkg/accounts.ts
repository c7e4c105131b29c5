/** The root's own user and group names (passwd(5), group(5)); never those of the host that looks at it. */
import { type Bytes, bytesOf } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { run } from '../system/run.ts';

export interface Accounts {
  /** The uid of `name` or `#number`; undefined when the root does not know it. */
  uid(user: Bytes): number | undefined;
  gid(group: Bytes): number | undefined;
}

const GETENT_TIMEOUT_MS = 5000;

/**
 * Reads the accounts, and on a running system also asks getent(1) for `names` that the files do not hold, since they
 * may come from a directory service.
 */
export async function readAccounts(
  root: Root,
  users: Iterable<Bytes>,
  groups: Iterable<Bytes>,
): Promise<Accounts> {
  const uids = await ids(root, 'passwd', users);
  const gids = await ids(root, 'group', groups);
  return { uid: (user) => idOf(uids, user), gid: (group) => idOf(gids, group) };
}

function idOf(ids: ReadonlyMap<Bytes, number>, name: Bytes): number | undefined {
  return name.startsWith('#') ? Number(name.slice(1)) : ids.get(name);
}

async function ids(
  root: Root,
  database: 'passwd' | 'group',
  wanted: Iterable<Bytes>,
): Promise<Map<Bytes, number>> {
  const found = root.resolveFully(`/etc/${database}`);
  const outcome = found.kind === 'found' ? readRegularFile(found.host) : undefined;
  const known = new Map<Bytes, number>();
  if (outcome?.kind === 'read') parseAccounts(outcome.data, known);
  if (root.isHost) {
    const missing = [...new Set(wanted)].filter((name) => !name.startsWith('#') && !known.has(name));
    const safe = missing.filter((name) => /^[A-Za-z0-9_][A-Za-z0-9_.$-]*$/.test(name));
    if (safe.length > 0) {
      const answer = await run('getent', [database, ...safe], { timeout: GETENT_TIMEOUT_MS });
      parseAccounts(bytesOf(answer.stdout), known);
    }
  }
  return known;
}

function parseAccounts(data: Bytes, known: Map<Bytes, number>): void {
  for (const line of data.split('\n')) {
    const [name, , id] = line.split(':', 3);
    if (name !== undefined && id !== undefined && /^\d+$/.test(id) && !known.has(name))
      known.set(name, Number(id));
  }
}
