/** What a repair of a filesystem found without a name, and nobody has brought back to its place. */
import { readdirSync } from 'node:fs';
import { lostDirectories } from '../fsck/lost-directories.ts';
import type { Finding } from '../model/finding.ts';
import { fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { finding } from './finding.ts';

export function judgeLostFound(root: Root): Finding[] {
  return lostDirectories(root).flatMap((path) => {
    const count = entriesOf(root.hostPath(path));
    if (count === 0) return [];
    return [
      finding({
        code: 'filesystem-lost-found',
        severity: 'warning',
        path,
        message: `${count} ${count === 1 ? 'thing lies' : 'things lie'} there without a name or a place; debmend fsck return looks where they belong`,
        knownBy: 'file-system',
        likelyOutage: true,
        reason: 'a repair of the filesystem puts there what it finds without a name',
      }),
    ];
  });
}

/** Only root may look into one; whoever may not sees nothing. */
function entriesOf(host: string): number {
  try {
    return readdirSync(fsPath(host), { encoding: 'latin1' }).length;
  } catch {
    return 0;
  }
}
