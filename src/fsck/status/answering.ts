/**
 * Whether the devices below filesystems answer. A device that hangs holds whoever reads from it in the kernel, where
 * nothing ends him: so another process asks first, past the cache, and what does not answer is not touched.
 */
import { bufferOf } from '../../system/bytes.ts';
import { run } from '../../system/run.ts';
import type { MountedFilesystem } from '../filesystems.ts';

/** A disk that has to spin up takes seconds; one that takes longer is of no use to a system either. */
const TIMEOUT_MS = 8000;

export type Answer =
  | { readonly kind: 'answers' }
  | { readonly kind: 'silent'; readonly seconds: number }
  | { readonly kind: 'unasked'; readonly why: string }
  | { readonly kind: 'failed'; readonly said: string };

/** Reads the first blocks of a filesystem's device. Never throws. */
export async function askDevice(
  { node }: Pick<MountedFilesystem, 'node'>,
  timeout = TIMEOUT_MS,
): Promise<Answer> {
  if (node === undefined) return { kind: 'unasked', why: 'there is no device' };
  const path = bufferOf(node).toString('utf8');
  const args = [`if=${path}`, 'of=/dev/null', 'bs=4096', 'count=2', 'iflag=direct', 'status=none'];
  const result = await run('dd', args, { timeout });
  if (result.timedOut) return { kind: 'silent', seconds: timeout / 1000 };
  if (result.failure !== undefined) return { kind: 'unasked', why: 'dd(1) cannot be started' };
  if (result.code === 0) return { kind: 'answers' };
  const said = result.stderr.trim().split('\n').at(-1) ?? '';
  // Without rights, and with sectors that are larger than that, nothing is known.
  return /error reading .*(?:Input\/output|I\/O) error/.test(said)
    ? { kind: 'failed', said }
    : { kind: 'unasked', why: said.replace(/^dd: /, '') };
}
