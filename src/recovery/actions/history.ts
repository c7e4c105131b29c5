/** A run as its journal tells it: its actions with their ends, and whether it still goes on. */
import type { Intent, JournalRecord, Thing } from '../../model/run.ts';
import { bootId } from '../../system/boot.ts';
import { readProcess } from '../../system/processes.ts';
import { type JournalContent, type RunStore, readJournal } from '../journal.ts';

export type Begin = Extract<JournalRecord, { kind: 'begin' }>;

/** An action of a run. `open`: nothing is known of its end. */
export interface Done {
  readonly intent: Intent;
  readonly state: 'open' | 'done' | 'not-begun';
  readonly after: Thing | null;
}

export interface History {
  readonly id: string;
  /** Absent when a cut came before anything was written. */
  readonly begin: Begin | undefined;
  readonly actions: readonly Done[];
  readonly programs: readonly string[];
  readonly outcome: 'mended' | 'incomplete' | 'failed' | 'interrupted' | undefined;
  /** Why its journal is not whole. */
  readonly damage: string | undefined;
}

/** @throws DebmendError `unknown-run`, `action-failed` */
export function readHistory(store: RunStore, id: string): History {
  return historyOf(id, readJournal(store, id));
}

export function historyOf(id: string, { records, damage }: JournalContent): History {
  let begin: Begin | undefined;
  let outcome: History['outcome'];
  const actions = new Map<number, Done>();
  const programs: string[] = [];
  for (const record of records) {
    switch (record.kind) {
      case 'begin':
        begin = record;
        break;
      case 'intent':
        actions.set(record.action, { intent: record, state: 'open', after: null });
        break;
      case 'done':
        endAction(actions, record.action, 'done', record.after);
        break;
      case 'failed':
      case 'settled':
        endAction(actions, record.action, record.left, record.after ?? null);
        break;
      case 'program':
        programs.push([record.program, ...record.args].join(' '));
        break;
      case 'program-done':
      case 'note':
        break;
      case 'end':
        outcome = record.outcome;
        break;
    }
  }
  return { id, begin, actions: [...actions.values()], programs, outcome, damage };
}

function endAction(
  actions: Map<number, Done>,
  number: number,
  state: 'done' | 'not-begun',
  after: Thing | null,
): void {
  const action = actions.get(number);
  if (action !== undefined) actions.set(number, { ...action, state, after });
}

/** Whether the process that began a run still works on it. */
export function isRunning({ begin, outcome }: History): boolean {
  if (begin === undefined || outcome !== undefined || begin.boot !== bootId()) return false;
  const process = readProcess(begin.pid);
  return process !== undefined && process.startTicks === begin.startTicks;
}
