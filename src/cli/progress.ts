/** A progress bar on a terminal, and nothing anywhere else. It goes to standard error, so that a pipe stays clean. */
import type { ScanProgress } from '../scan/scan.ts';

export interface ProgressDisplay {
  readonly update: (progress: ScanProgress) => void;
  stop(): void;
}

/** Long enough that short runs show no bar at all. */
const PATIENCE_MS = 400;

/** Returns undefined where there is no terminal. */
export function startProgress(): ProgressDisplay | undefined {
  if (!process.stderr.isTTY) return undefined;
  const started = performance.now();
  let latest: ScanProgress | undefined;
  let stopped = false;
  let draw: ((progress: ScanProgress) => void) | undefined;
  let clear = (): void => {};
  const timer = setTimeout(
    async () => {
      const { default: cliProgress } = await import('cli-progress');
      if (stopped) return;
      const bar = new cliProgress.SingleBar({
        format: '{phase} {bar} {percentage}% {amount}',
        stream: process.stderr,
        clearOnComplete: true,
        hideCursor: true,
        barsize: 30,
        barCompleteChar: '#',
        barIncompleteChar: '.',
      });
      bar.start(1, 0, { phase: 'looking', amount: '' });
      draw = (progress) => {
        bar.setTotal(Math.max(progress.total, 1));
        bar.update(progress.done, { phase: progress.phase, amount: amount(progress) });
      };
      clear = () => bar.stop();
      if (latest !== undefined) draw(latest);
    },
    PATIENCE_MS - (performance.now() - started),
  );
  return {
    update: (progress) => {
      latest = progress;
      draw?.(progress);
    },
    stop: () => {
      if (stopped) return;
      stopped = true;
      clearTimeout(timer);
      clear();
    },
  };
}

function amount(progress: ScanProgress): string {
  if (progress.phase === 'looking') return `${progress.done} of ${progress.total} paths`;
  const mb = (bytes: number) => Math.round(bytes / 1e6);
  return `${mb(progress.done)} of ${mb(progress.total)} MB`;
}
