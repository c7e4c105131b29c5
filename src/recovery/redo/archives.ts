/** The kept .debs of an interrupted transaction, verified, and what is in them. */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { readArchive, type TarEntry, TarParser, unpack } from '../../dpkg/deb.ts';
import type { IntendedPackageRecord } from '../../model/transaction.ts';
import type { Store } from '../../snapshot/store.ts';
import { transactionDirectory } from '../../snapshot/transaction/record.ts';
import type { Bytes } from '../../system/bytes.ts';
import { openQuietly } from '../../system/files.ts';

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
    const fd = openQuietly(file);
    try {
      if (!fstatSync(fd).isFile()) return undefined;
      const hash = createHash('sha256');
      const chunk = Buffer.allocUnsafe(1024 * 1024);
      for (let count = readSync(fd, chunk); count > 0; count = readSync(fd, chunk))
        hash.update(chunk.subarray(0, count));
      return hash.digest('hex');
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}
