/** Carrying out one planned step, through the run's journal. */
import type { Config } from '../config/settings.ts';
import type { Step } from '../model/recovery.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, bufferOf } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import type { ActionRecord, Run, Why } from './actions.ts';
import type { Installer } from './install.ts';
import { returnLostWithin } from './lost-found.ts';
import type { Deed } from './plan.ts';
import { applyRedo } from './redo/apply.ts';

export interface Tools {
  readonly root: Root;
  readonly store: Store;
  readonly run: Run;
  readonly installer: Installer;
  readonly policy: Config['recovery'];
}

export interface Outcome {
  readonly actions: readonly ActionRecord[];
  /** What went wrong, for people. */
  readonly problems: readonly string[];
}

/** @throws DebmendError of an action that could not be done: nothing of it is left */
export async function carryOut(deed: Deed, step: Step, tools: Tools): Promise<Outcome> {
  const { run, installer, root, store } = tools;
  const why: Why = {
    reason: step.reason,
    package: step.package,
    finding: step.findings[0],
    source: step.source,
  };
  const done = (...actions: readonly ActionRecord[]): Outcome => ({ actions, problems: [] });
  const ran = (problems: readonly string[]): Outcome => ({ actions: [], problems });
  switch (deed.kind) {
    case 'database': {
      const { file, action } = deed.mend;
      if (action.kind === 'aside') return done(run.perform({ kind: 'quarantine', path: file }, why));
      const attributes = { mode: action.mode, uid: 0, gid: 0 };
      return done(run.perform({ kind: 'put', path: file, data: bufferOf(action.data), attributes }, why));
    }
    case 'return-lost':
      return ran(await returnLostWithin(run, { root, store }));
    case 'redo':
      return await applyRedo({ root, store, run, installer }, deed.redo);
    case 'file':
      return done(run.perform(actionOf(deed.solution), why));
    case 'rename':
      return done(run.perform({ kind: 'rename', from: deed.from, to: deed.to }, why));
    case 'aside':
      return done(run.perform({ kind: deed.remove ? 'remove' : 'quarantine', path: deed.path }, why));
    case 'reinstall':
      return ran(
        deed.unpackOnly
          ? await installer.dpkgInstall([deed.archive], { unpackOnly: true, forces: [] }, step.reason)
          : await installer.install([deed.archive], [], { purge: false }, step.reason),
      );
    case 'configure':
      return ran(await installer.configure(deed.packages, step.reason));
    case 'regenerate': {
      const { program, args, before } = deed.regeneration;
      const actions = before.quarantine.map((path: Bytes) => run.perform({ kind: 'quarantine', path }, why));
      return { actions, problems: await installer.run(program, args, step.reason) };
    }
    case 'download': {
      const wanted = deed.version === '' ? deed.name : `${deed.name}=${deed.version}`;
      return ran(await installer.download([wanted], step.reason));
    }
  }
}

function actionOf(solution: Extract<Deed, { kind: 'file' }>['solution']): Parameters<Run['perform']>[0] {
  switch (solution.kind) {
    case 'put':
      return { kind: 'put', path: solution.path, data: solution.data, attributes: solution.attributes };
    case 'link':
      return { kind: 'link', path: solution.path, target: solution.target, attributes: solution.attributes };
    case 'directory':
      return { kind: 'directory', path: solution.path, attributes: solution.attributes };
    case 'reinstall':
    case 'local-change':
    case 'none':
      throw new Error('a file without good content was planned to be mended');
  }
}
