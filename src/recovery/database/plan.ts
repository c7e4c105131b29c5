/**
 * The face of this folder: what has to be written or moved aside so that dpkg's and apt's databases are sound again, each
 * with the source of its content and the reason. It reads, and changes nothing.
 */
import { judgeDatabaseLeftovers } from '../../audit/database.ts';
import type { Database } from '../../dpkg/database.ts';
import { textToPath } from '../../model/path-text.ts';
import type { Root } from '../../system/root.ts';
import { mendApt } from './apt.ts';
import { mendControlFiles } from './control-files.ts';
import type { DatabasePlan, DatabaseSources } from './sources.ts';
import { mendRecords } from './status.ts';
import { mendTables } from './tables.ts';
import { mendTriggers } from './triggers.ts';
import { Workbench } from './workbench.ts';

export type { DatabaseMend, DatabasePlan, DatabaseSources, Reinstall, Unmended } from './sources.ts';

/**
 * Plans the mends of a database as it was read. The manifests need not have been read: the plan looks at the control
 * files of every package that will be recorded, which may be more than the damaged status file knows.
 */
export async function planDatabaseMends(
  root: Root,
  database: Database,
  sources: DatabaseSources,
): Promise<DatabasePlan> {
  const bench = new Workbench(root, database, sources);
  const records = await mendRecords(bench);
  await mendControlFiles(bench, records);
  await mendTables(bench, records);
  await mendTriggers(bench, records);
  for (const { path, message, reason } of judgeDatabaseLeftovers(database)) {
    const file = path === undefined ? undefined : textToPath(path);
    if (file === undefined || bench.mends.some((mend) => mend.file === file)) continue;
    bench.aside({ code: 'database-leftover', file }, `${message}; ${reason}`);
  }
  await mendApt(bench, records);
  const { mends, unmended, reinstall } = bench;
  return { mends, unmended, reinstall };
}
