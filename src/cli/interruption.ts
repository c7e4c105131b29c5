/** SIGINT and SIGTERM as a signal to the work: it stops where it may, and says so. */

/**
 * Does work that can be interrupted.
 *
 * @throws what the work throws; `interrupted` is the work's own to throw
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    return await work(interruption.signal);
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
  }
}
