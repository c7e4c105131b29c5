/** What every checker takes and gives. */
import type { Bytes } from '../../system/bytes.ts';
import type { RunResult } from '../../system/run.ts';
import type { Damage, DamageList } from './damage.ts';
import type { Target } from './target.ts';

export interface CheckContext {
  readonly target: Target;
  /** A directory of this host in which copies of metadata may be made, for the time of the check. */
  readonly scratch: string;
  readonly abort: AbortSignal | undefined;
  /** Takes every line that a checker writes. */
  readonly raw: (line: Bytes) => void;
}

export interface Checked {
  readonly program: string;
  readonly args: readonly string[];
  readonly code: number | undefined;
  /** What the exit code means, in the words of the program's manual. */
  readonly meanings: readonly string[];
  /** Whether it looked at everything. */
  readonly finished: boolean;
  readonly damages: DamageList;
  /** What a person should know of how it was found out. */
  readonly notes: readonly string[];
}

export interface CheckResult {
  readonly target: Target;
  readonly program: string;
  readonly args: readonly string[];
  readonly code: number | undefined;
  readonly meanings: readonly string[];
  /** `unfinished`: it was not looked at to its end; what was found by then is told. */
  readonly state: 'sound' | 'damaged' | 'unfinished';
  readonly damages: readonly Damage[];
  readonly notes: readonly string[];
  /** What the checker wrote, its first lines. */
  readonly output: readonly Bytes[];
  readonly seconds: number;
}

/** An exit code that says damage, of which no sentence was understood, is damage all the same. */
export function unexplained(damages: DamageList, program: string, result: RunResult): void {
  if (damages.list().some(({ harmless, kind }) => !harmless && kind !== 'journal')) return;
  const said = result.stderr.trim().split('\n').at(-1) ?? '';
  const how = result.timedOut ? 'was ended after a day' : `ended with ${result.code ?? result.signal ?? '?'}`;
  damages.add({ kind: 'structure' }, `${program} ${how}${said === '' ? '' : `: ${said}`}`);
}
