/** The kept .debs of an interrupted transaction, verified, and what is in them. */
import { join } from 'node:path';
import { readArchive, type TarEntry, TarParser, unpack } from '../../dpkg/deb.ts';
import type { IntendedPackageRecord } from '../../model/transaction.ts';
import type { Store } from '../../snapshot/store.ts';
import { transactionDirectory } from '../../snapshot/transaction/record.ts';
import type { Bytes } from '../../system/bytes.ts';
import { hashRegularFile } from '../../system/hash-file.ts';

/** Larger is no maintainer script, in bytes. */
const MAX_SCRIPT = 8 * 1024 * 1024;
const SCRIPTS: ReadonlySet<Bytes> = new Set(['/preinst', '/postinst', '/prerm', '/postrm', '/config']);

export interface KeptArchive {
  /** As a path of this host. */
  readonly file: string;
  readonly entries: readonly TarEntry[];
  /** The text of its control file. */
  readonly control: Bytes;
  /** The text of its maintainer scripts. */
  readonly scripts: readonly Bytes[];
}

/** Where a package's kept .deb is; undefined when it was not kept, or is not what was kept (I6). */
export function keptArchive(
  store: Store,
  id: string,
  { archive }: IntendedPackageRecord,
): string | undefined {
  if (archive?.kept === undefined) return undefined;
  const file = join(transactionDirectory(store, id), 'archives', archive.kept);
  return sha256Of(file) === archive.sha256 ? file : undefined;
}

/** @throws DebmendError `archive-unreadable` */
export async function readKept(file: string): Promise<KeptArchive> {
  const control = new TarParser(
    ({ path, size }) => (SCRIPTS.has(path) || path === '/control') && size <= MAX_SCRIPT,
  );
  await unpack(file, '--ctrl-tarfile', control);
  return {
    file,
    entries: await readArchive(file),
    control: control.contents.get('/control') ?? '',
    scripts: [...control.contents].filter(([path]) => SCRIPTS.has(path)).map(([, text]) => text),
  };
}

/** SHA-256 of a regular file, as hexadecimal digits; undefined when it cannot be read. */
export function sha256Of(file: string): string | undefined {
  try {
    return hashRegularFile(file).sha256;
  } catch {
    return undefined;
  }
}
