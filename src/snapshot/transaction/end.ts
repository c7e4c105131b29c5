/**
 * A transaction whose front end says that it is over. apt says so also when its dpkg was killed, and then nothing is:
 * what dpkg had begun stands half-done, and nobody but a recovery brings it to its end. A dpkg that fails says of which
 * package and why (lib/dpkg/log.c, statusfd_send); one that is killed says nothing, and may leave notes of its journal.
 * apt runs another dpkg after it, which takes the notes away, so what was said counts too.
 */
import type { Config } from '../../config/settings.ts';
import { type Admindir, openAdmindir } from '../../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../../dpkg/database.ts';
import type { Seal, Transaction } from '../../model/transaction.ts';
import type { Root } from '../../system/root.ts';
import type { Store } from '../store.ts';
import { statusLog } from './begin.ts';
import { missedPackages, readSteps, recordsNow } from './outcome.ts';
import { sealTransaction } from './seal.ts';
import { leftNotes, settle } from './settle.ts';

/**
 * Seals it, or records that it was interrupted.
 *
 * @throws DebmendError of the snapshot; an error of SQLite or of the filesystem
 */
export async function endTransaction(
  store: Store,
  root: Root,
  config: Config,
  open: Transaction,
  by: Seal['by'],
): Promise<Transaction> {
  const admindir = openAdmindir(root, DEFAULT_ADMINDIR);
  // The agent's lines are those of dpkg's log, which tells of no failure (lib/dpkg/log.c, log_message).
  if (leftNotes(admindir) || (by !== 'watch' && brokeOff(store, admindir, open)))
    return settle(store, root, open);
  return (await sealTransaction(store, root, config, open, by)).transaction;
}

function brokeOff(store: Store, admindir: Admindir, open: Transaction): boolean {
  const { steps } = readSteps(statusLog(store, open.id));
  const last = steps.at(-1);
  if (last === undefined || last.startsWith('error ')) return false;
  if (isAmidPurge(steps)) return true;
  const missed = missedPackages(open, recordsNow(admindir));
  if (missed.length === 0) return false;
  // After the failure of one package dpkg goes on with others, and comes to an end with each.
  return isAtWork(last) || !steps.some((step) => step.startsWith('error '));
}

/** Whether a step is one that dpkg never ends with. */
function isAtWork(step: string): boolean {
  const [what = '', , state = ''] = step.split(' ');
  return what !== 'status' || state === 'half-installed' || state === 'half-configured';
}

/**
 * Whether a purge was begun and did not end. The intent does not tell a purge from a removal, which `config-files` is
 * the end of.
 */
function isAmidPurge(steps: readonly string[]): boolean {
  const begun = steps.findLastIndex((step) => step.startsWith('purge '));
  const name = steps[begun]?.slice('purge '.length);
  return name !== undefined && !steps.slice(begun).includes(`status ${name} not-installed`);
}
