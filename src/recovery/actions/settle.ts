/** Runs that a crash, a power cut or SIGKILL interrupted: what they had begun comes to one of two ends. */
import { DebmendError } from '../../system/errors.ts';
import type { Root } from '../../system/root.ts';
import { Journal, type RunStore, runIds } from '../journal.ts';
import { type History, historyOf, isRunning, readHistory } from './history.ts';
import { describe } from './prepare.ts';
import { failedAction } from './refusal.ts';
import { settle } from './steps.ts';

export interface SettledAction {
  /** RUN/N */
  readonly id: string;
  readonly left: 'done' | 'not-begun';
  readonly note: string | undefined;
}

/** The names of runs that have no end, or an action without one, and that nobody works on any more; the oldest first. */
export function unfinishedRuns(store: RunStore): string[] {
  return runIds(store).filter((id) => {
    const history = readHistory(store, id);
    return isUnfinished(history) && !isRunning(history);
  });
}

function isUnfinished({ outcome, actions }: History): boolean {
  return outcome === undefined || actions.some(({ state }) => state === 'open');
}

/**
 * Brings every action of an interrupted run to an end: it is completed, or nothing of it is left. Called again, after a
 * cut in the middle for example, it comes to the same.
 *
 * @returns the actions whose end was not known
 * @throws DebmendError `unknown-run`; `locked` while its process still works; `action-failed` and others when the disk
 * does not let itself be put right: nothing is lost then, and it can be called again
 */
export function settleRun(store: RunStore, root: Root, id: string): SettledAction[] {
  const { journal, content } = Journal.open(store, id);
  try {
    const history = historyOf(id, content);
    if (!isUnfinished(history)) return [];
    refuseRunning(history);
    const site = { root, store };
    const settled: SettledAction[] = [];
    for (const { intent, state } of history.actions) {
      if (state !== 'open') continue;
      const { action, step, before } = intent;
      root.forget();
      try {
        const { left, after, note } = settle(site, { step, before });
        journal.append({ kind: 'settled', action, left, after, ...(note === undefined ? {} : { note }) });
        settled.push({ id: `${id}/${action}`, left, note });
      } catch (error) {
        throw failedAction(error, `${describe(step)}, which was interrupted`);
      } finally {
        root.forget();
      }
    }
    if (history.outcome === undefined) journal.append({ kind: 'end', outcome: 'interrupted' });
    return settled;
  } finally {
    journal.close();
  }
}

/** @throws DebmendError `locked` */
export function refuseRunning(history: History): void {
  if (!isRunning(history)) return;
  throw new DebmendError(
    'locked',
    `looking at run ${history.id}: process ${history.begin?.pid ?? 0} still works on it`,
    'wait until it has ended',
  );
}
