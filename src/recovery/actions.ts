/**
 * The few ways in which a recovery changes anything, each journaled and reversible (docs/recovery.md). This is the face
 * of the folder actions/.
 */
export type { History } from './actions/history.ts';
export { isRunning, readHistory } from './actions/history.ts';
export type { Action, Attributes } from './actions/prepare.ts';
export type { ActionRecord, RunHead, RunOutcome, Why } from './actions/run.ts';
export { Run, reportFile } from './actions/run.ts';
export type { SettledAction } from './actions/settle.ts';
export { settleRun, unfinishedRuns } from './actions/settle.ts';
export type { UndoOptions } from './actions/undo.ts';
export { undoRun } from './actions/undo.ts';
export type { RunStore } from './journal.ts';
