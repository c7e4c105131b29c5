/**
 * Checks at the next boot: asked for in the way that is right for the filesystem, remembered, and settled after it.
 * The face of schedule/.
 */
export {
  askForChecks,
  type CheckContext,
  type PlannedCheck,
  planChecks,
  refusal,
  type Wanted,
} from './schedule/ask.ts';
export { settleAtStart } from './schedule/at-start.ts';
export { cancelChecks, type PlannedCancel, planCancel } from './schedule/cancel.ts';
export { checkFindings } from './schedule/findings.ts';
export type { ShownCommand } from './schedule/grub.ts';
export { lacksJournal, ownReasons } from './schedule/reasons.ts';
export { type Settled, settleChecks } from './schedule/settle.ts';
