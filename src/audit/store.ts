/** What debmend's own store says: that it is damaged, that one was set aside, that a transaction never ended. */
import type { Finding } from '../model/finding.ts';
import type { Transaction } from '../model/transaction.ts';
import type { Inspection } from '../snapshot/inspect.ts';
import { bootId } from '../system/boot.ts';
import { type Bytes, bytesFromText } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { finding } from './finding.ts';

/** Names of packages that a message lists. */
const LISTED = 5;

export function judgeStore(root: Root, inspection: Inspection): Finding[] {
  switch (inspection.kind) {
    case 'none':
    case 'denied':
      return [];
    case 'damaged':
      return [
        finding({
          code: 'store-damaged',
          severity: 'error',
          path: insidePath(root, inspection.path),
          message: `debmend’s own store cannot be read (${inspection.reason}): its snapshots are lost to this run, and the next command that writes sets it aside`,
          knownBy: 'store',
          likelyOutage: true,
          reason: 'every write to it is synced, so only an outage or a failing disk damages it',
        }),
        ...inspection.unfinished.map(judgeTransaction),
      ];
    case 'read':
      return [
        ...(inspection.setAside === undefined
          ? []
          : [
              finding({
                code: 'store-set-aside',
                severity: 'info',
                path: insidePath(root, inspection.setAside.file),
                message: `debmend’s own store was damaged (${inspection.setAside.reason}) and was set aside at ${inspection.setAside.at}: snapshots begin anew there`,
                knownBy: 'store',
                likelyOutage: true,
                reason: 'every write to it is synced, so only an outage or a failing disk damages it',
              }),
            ]),
        ...inspection.unfinished.map(judgeTransaction),
      ];
  }
}

function judgeTransaction(transaction: Transaction): Finding {
  const { id, session, startedAt, seal, runs, boot } = transaction;
  const intended = [...new Set(runs.flatMap(({ packages }) => packages.map(({ name }) => name)))];
  const missed = seal?.missed ?? intended;
  const names = missed.slice(0, LISTED).join(', ') + (missed.length > LISTED ? ', …' : '');
  const command = session.command.join(' ');
  const lost = boot !== undefined && boot !== bootId();
  return finding({
    code: 'transaction-interrupted',
    severity: missed.length > 0 ? 'error' : 'warning',
    message:
      `the installation ${id} (${command === '' ? transaction.origin : command}) that began ${startedAt} never ended` +
      (missed.length > 0
        ? `: ${missed.length} of its packages are not where they were meant to come (${names})`
        : ''),
    knownBy: 'store',
    likelyOutage: lost,
    reason: lost ? 'the system was started anew before it ended' : 'its process ended in this very boot',
  });
}

function insidePath(root: Root, host: string): Bytes {
  const bytes = bytesFromText(host);
  return bytes.startsWith(`${root.prefix}/`) ? bytes.slice(root.prefix.length) : bytes;
}
