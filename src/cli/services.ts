/** `debmend services`: parse, call, render. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { inventory, table } from '../report/inventory.ts';
import { installUnits, removeUnits, type UnitState, unitStates } from '../services/install.ts';
import { forgetUnits, isRunningSystem, startUnits, stopUnits } from '../services/running.ts';
import { DebmendError } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';

interface Arguments {
  readonly root: string;
  readonly program?: string;
  readonly json?: boolean;
}

/** Where a package puts it. */
const PROGRAM = '/usr/lib/debmend/bin/debmend';

/** @throws DebmendError */
export async function servicesInstall(options: unknown): Promise<number> {
  const args = options as Arguments;
  const root = openRoot(args.root);
  const home = homeOf(args);
  const written = installUnits(root, home);
  if (isRunningSystem(root)) await startUnits();
  print(args, root, home, written.map((path) => `wrote ${path}\n`).join(''));
  return EXIT.sound;
}

/** @throws DebmendError */
export async function servicesRemove(options: unknown): Promise<number> {
  const args = options as Arguments;
  const root = openRoot(args.root);
  const home = homeOf(args);
  const running = isRunningSystem(root);
  const ours = unitStates(root, home)
    .filter(({ state }) => state === 'installed' || state === 'different')
    .map(({ name }) => name);
  if (running) await stopUnits(ours);
  const removed = removeUnits(root);
  if (running) await forgetUnits(ours);
  const lines = removed.map((path) => `removed ${path}\n`).join('');
  print(args, root, home, removed.length === 0 ? 'no services were installed\n' : lines);
  return EXIT.sound;
}

/** @throws DebmendError */
export function servicesStatus(options: unknown): number {
  const args = options as Arguments;
  const root = openRoot(args.root);
  const home = homeOf(args);
  const states = unitStates(root, home);
  const whole = states.every(({ state, enabled }) => state === 'installed' && enabled !== false);
  print(
    args,
    root,
    home,
    table(
      ['state', 'enabled', 'file'],
      states.map((unit) => [unit.state, enabledText(unit), unit.path]),
    ) + (whole ? '' : "hint: 'debmend services install' writes and enables what is missing or different\n"),
  );
  return whole ? EXIT.sound : EXIT.findings;
}

function enabledText({ enabled }: UnitState): string {
  if (enabled === undefined) return 'by its timer';
  return enabled ? 'yes' : 'no';
}

/** The words for a person; as JSON every command says how things stand afterwards. */
function print(args: Arguments, root: Root, home: string, words: string): void {
  if (args.json !== true) {
    process.stdout.write(words);
    return;
  }
  const units = unitStates(root, home).map(({ name, path, state, enabled }) => ({
    name,
    path,
    state,
    ...(enabled === undefined ? {} : { enabled }),
  }));
  const document = inventory(root, { services: { program: `${home}/bin/debmend`, units } });
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
}

/** The installation as the root sees it: the one that runs, unless another is named. @throws DebmendError `usage` */
function homeOf(args: Arguments): string {
  const program =
    args.program ??
    (args.root === '/' ? realpathSync(join(import.meta.dirname, '../../bin/debmend')) : PROGRAM);
  const home = /^(\/.*)\/bin\/debmend$/.exec(program)?.[1];
  if (home !== undefined) return home;
  throw new DebmendError(
    'usage',
    `the program ${program} is no path of an installation`,
    `name the program itself and no link to it: ${PROGRAM}`,
  );
}
