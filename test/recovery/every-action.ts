/**
 * A run with every kind of action, as a program of its own that can be killed anywhere. Each action is done when the
 * tree still needs it, as a recovery that is run again decides it.
 *
 *     every-action.ts ROOT STORE act|settle|undo [RUN]
 */
import { lstatSync, mkdirSync, readFileSync } from 'node:fs';
import { type Action, Run, settleRun, undoRun, unfinishedRuns } from '../../src/recovery/actions.ts';
import type { RunStore } from '../../src/recovery/journal.ts';
import { purgeQuarantine } from '../../src/recovery/quarantine.ts';
import { Root } from '../../src/system/root.ts';

export type Mode = 'act' | 'settle' | 'undo' | 'purge';

/** @param id the run to undo */
export function everyAction(directory: string, store: RunStore, mode: Mode, id = ''): void {
  const root = new Root(directory);
  const settleAll = (): void => {
    for (const run of unfinishedRuns(store)) settleRun(store, root, run);
  };
  switch (mode) {
    case 'act': {
      settleAll();
      const script = scriptFor((path) => directory + path);
      if (!script.some(([needed]) => needed())) return;
      const run = Run.begin(store, root, { command: ['test'], policy: undefined });
      for (const [needed, action] of script) if (needed()) run.perform(action, { reason: 'a test' });
      run.end('mended');
      return;
    }
    case 'settle':
      settleAll();
      return;
    case 'undo':
      undoRun(store, root, id, { apply: true });
      return;
    case 'purge':
      purgeQuarantine(store, root, { ids: [] }, ['test']);
      return;
  }
}

const attributes = { mode: 0o640, uid: 3, gid: 4, mtime: 1_700_000_000_000 };

function scriptFor(at: (path: string) => string): [needed: () => boolean, action: Action][] {
  const stat = (path: string) => lstatSync(at(path), { throwIfNoEntry: false });
  const text = (path: string) => (stat(path)?.isFile() === true ? readFileSync(at(path), 'latin1') : '');
  const stands = (path: string) => stat(path) !== undefined;
  const put = (path: string, data: string): [() => boolean, Action] => [
    () => text(path) !== data,
    { kind: 'put', path, data: Buffer.from(data), attributes },
  ];
  return [
    [() => stands('/etc/tree'), { kind: 'quarantine', path: '/etc/tree' }],
    [() => stands('/etc/x.dpkg-new'), { kind: 'remove', path: '/etc/x.dpkg-new' }],
    put('/etc/zeroed', 'good'),
    put('/etc/fresh', 'new'),
    put('/etc/dir', 'file'),
    [
      () => stat('/etc/link')?.isSymbolicLink() !== true,
      { kind: 'link', path: '/etc/link', target: 'zeroed', attributes: { uid: 5, gid: 5 } },
    ],
    [
      () => stat('/etc/nodir')?.isDirectory() !== true,
      { kind: 'directory', path: '/etc/nodir', attributes: { mode: 0o711, uid: 1, gid: 1 } },
    ],
    [() => stat('/etc/owner')?.uid !== 3, { kind: 'attributes', path: '/etc/owner', attributes }],
    [() => stands('/etc/from'), { kind: 'rename', from: '/etc/from', to: '/etc/to' }],
    [() => stands('/etc/dirfrom'), { kind: 'rename', from: '/etc/dirfrom', to: '/etc/dirto' }],
  ];
}

if (import.meta.main) {
  const [, , directory = '', store = '', mode = '', id = ''] = process.argv;
  // What starting Node does before is nobody's concern: the test counts calls from here.
  try {
    mkdirSync(`${store}/begun`);
  } catch {
    // an earlier one made it
  }
  everyAction(directory, { directory: store }, mode as Mode, id);
}
