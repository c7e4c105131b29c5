/** Whether a package has done its part: configured it has run the programs that make its files. */
import type { Database } from '../../dpkg/database.ts';
import type { Package } from '../../dpkg/package.ts';
import type { Bytes } from '../../system/bytes.ts';

const CONFIGURED: ReadonlySet<string> = new Set(['installed', 'triggers-pending', 'triggers-awaited']);

/** The package of that name that is configured, whatever its architecture. */
export function installedPackage(database: Database, name: Bytes): Package | undefined {
  return database.packages.find((pkg) => pkg.name === name && CONFIGURED.has(pkg.state));
}
