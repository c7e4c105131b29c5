/**
 * One run of a recovery: whatever it changes goes through here (I4).
 *
 *     perform: look ─► intent, synced ─► act, synced ─► done, synced
 *
 * A run whose process is gone before `end` is settled by whoever comes next (settle.ts); then every intent has an end.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { FindingCode } from '../../model/codes.ts';
import { bytesToText } from '../../model/path-text.ts';
import type { Intent, Thing } from '../../model/run.ts';
import { bootId } from '../../system/boot.ts';
import { messageOf } from '../../system/errors.ts';
import { readProcess } from '../../system/processes.ts';
import type { Root } from '../../system/root.ts';
import { toolVersion } from '../../system/tool.ts';
import { Journal, MAX_OUTPUT, type RunStore } from '../journal.ts';
import type { Site } from './places.ts';
import { type Action, describe, type OwnAction, prepare } from './prepare.ts';
import { failedAction, refused } from './refusal.ts';
import { carryOut, settle } from './steps.ts';

export interface Why {
  readonly reason: string;
  readonly package?: string | undefined;
  readonly finding?: FindingCode | undefined;
  /** Where good content came from, for people. */
  readonly source?: string | undefined;
}

export interface RunHead {
  readonly command: readonly string[];
  readonly policy: unknown;
  readonly transaction?: string | undefined;
  /** The run that this one takes back. */
  readonly undoes?: string | undefined;
}

export type RunOutcome = 'mended' | 'incomplete' | 'failed' | 'interrupted';

/** An action that was done. */
export interface ActionRecord {
  /** RUN/N, by which the quarantine knows what was moved aside too. */
  readonly id: string;
  readonly number: number;
  readonly step: Intent['step'];
  /** What stood at the path. */
  readonly before: Thing | null;
  /** What stands there now; of a rename, at the new path. */
  readonly after: Thing | null;
  /** RUN/N where something was quarantined. */
  readonly quarantined: string | undefined;
}

export class Run {
  readonly id: string;
  /** As a path of this host. */
  readonly directory: string;
  readonly #journal: Journal;
  readonly #site: Site;
  #actions = 0;
  #programs = 0;

  private constructor(journal: Journal, site: Site) {
    this.id = journal.id;
    this.directory = journal.directory;
    this.#journal = journal;
    this.#site = site;
  }

  /**
   * Begins a run: its directory and its journal are on disk when this returns.
   *
   * @throws DebmendError `disk-full`, `read-only`, `action-failed`; `action-refused` where /proc is not mounted
   */
  static begin(store: RunStore, root: Root, head: RunHead): Run {
    if (!existsSync('/proc/self/fd')) {
      throw refused(
        'beginning a run',
        '/proc is not mounted',
        'mount it: without it no path is safe from being swapped',
      );
    }
    const journal = Journal.create(store, new Date());
    try {
      journal.append({
        kind: 'begin',
        run: journal.id,
        version: toolVersion(),
        command: [...head.command],
        ...(head.policy === undefined ? {} : { policy: head.policy }),
        ...(head.transaction === undefined ? {} : { transaction: head.transaction }),
        ...(head.undoes === undefined ? {} : { undoes: head.undoes }),
        ...owner(),
      });
    } catch (error) {
      journal.close();
      throw error;
    }
    return new Run(journal, { root, store });
  }

  /**
   * Does one action; it is on disk, and so is that it was done, when this returns.
   *
   * @throws DebmendError `action-refused`, `disk-full`, `read-only`, `action-failed`: nothing of it is left then, and the
   * run goes on
   */
  perform(action: Action, why: Why): ActionRecord {
    return this.performOwn(action, why);
  }

  /** The same for what only an undo and the quarantine do. @throws DebmendError as perform */
  performOwn(action: OwnAction, why: Why, undoes?: { run: string; action: number }): ActionRecord {
    const number = this.#actions + 1;
    const id = `${this.id}/${number}`;
    const { step, before, data } = prepare(this.#site, action, id);
    this.#journal.needsRoom();
    this.#journal.append({
      kind: 'intent',
      action: number,
      step,
      why: whyRecord(why),
      before,
      ...(undoes === undefined ? {} : { undoes }),
    });
    this.#actions = number;
    let after: Thing | null;
    try {
      after = carryOut(this.#site, { step, before }, data);
    } catch (error) {
      throw this.#failed(number, { step, before }, failedAction(error, describe(action)));
    } finally {
      this.#site.root.forget();
    }
    this.#journal.append({ kind: 'done', action: number, after });
    const quarantined =
      step.kind === 'quarantine' ||
      ('place' in step && step.kind !== 'remove' && step.kind !== 'rename' && before !== null)
        ? id
        : undefined;
    return { id, number, step, before, after, quarantined };
  }

  /** What was begun is taken back, and written down. Where even that fails the next run settles it. */
  #failed(number: number, task: Parameters<typeof settle>[1], error: Error): Error {
    try {
      const settled = settle(this.#site, task);
      const { left, after } = settled;
      this.#journal.append({ kind: 'failed', action: number, error: error.message, left, after });
    } catch (second) {
      return failedAction(error, `${messageOf(error)}; putting it right failed too: ${messageOf(second)}`);
    }
    return error;
  }

  /** Writes down that a program is going to run; the caller runs it. @throws DebmendError */
  program(record: { program: string; args: readonly string[]; why: Why }): {
    done(result: { code: number | undefined; output: string }): void;
  } {
    this.#journal.needsRoom();
    this.#programs += 1;
    const number = this.#programs;
    const { program, args, why } = record;
    this.#journal.append({ kind: 'program', number, program, args: [...args], why: whyRecord(why) });
    return {
      done: ({ code, output }) => {
        this.#site.root.forget();
        this.#journal.append({
          kind: 'program-done',
          number,
          ...(code === undefined ? {} : { code }),
          output: bytesToText(output).slice(-MAX_OUTPUT),
        });
      },
    };
  }

  /** @throws DebmendError when it cannot be written */
  note(text: string): void {
    this.#journal.append({ kind: 'note', text: bytesToText(text) });
  }

  /** Ends the run; nothing can be done in it any more. @throws DebmendError when it cannot be written */
  end(outcome: RunOutcome): void {
    this.#journal.append({ kind: 'end', outcome });
    this.#journal.close();
  }
}

/** Where the report of a run goes, as a path of this host. */
export function reportFile(run: Run): string {
  return join(run.directory, 'report.json');
}

function owner(): { boot?: string; pid: number; startTicks?: number } {
  const boot = bootId();
  const startTicks = readProcess(process.pid)?.startTicks;
  return {
    ...(boot === undefined ? {} : { boot }),
    pid: process.pid,
    ...(startTicks === undefined ? {} : { startTicks }),
  };
}

function whyRecord({ reason, package: name, finding, source }: Why): Intent['why'] {
  return {
    reason: bytesToText(reason),
    ...(name === undefined ? {} : { package: bytesToText(name) }),
    ...(finding === undefined ? {} : { finding }),
    ...(source === undefined ? {} : { source: bytesToText(source) }),
  };
}
