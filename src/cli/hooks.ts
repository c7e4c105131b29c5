/** `debmend hooks`: parse, call, render. */
import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../config/config.ts';
import { printable } from '../report/human/text.ts';
import { inventory, table } from '../report/inventory.ts';
import { fragmentStates, installFragments, removeFragments } from '../snapshot/fragments.ts';
import { storeDirectory } from '../snapshot/store.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';

interface Common {
  readonly root: string;
  readonly program?: string;
  readonly json?: boolean;
  readonly config?: string;
}

/** Lines of the hooks' log that are shown. */
const SHOWN = 10;

/** @throws DebmendError */
export async function hooksInstall(options: unknown): Promise<number> {
  const args = options as Common;
  const { hooks } = await loadConfig(args.config);
  const written = installFragments(openRoot(args.root), programOf(args), hooks);
  process.stdout.write(written.map(({ path }) => `wrote ${path}\n`).join(''));
  return EXIT.sound;
}

/** @throws DebmendError */
export async function hooksRemove(options: unknown): Promise<number> {
  const args = options as Common;
  const removed = removeFragments(openRoot(args.root));
  process.stdout.write(
    removed.length === 0 ? 'no hooks were installed\n' : removed.map((path) => `removed ${path}\n`).join(''),
  );
  return EXIT.sound;
}

/** @throws DebmendError */
export async function hooksStatus(options: unknown): Promise<number> {
  const args = options as Common;
  const root = openRoot(args.root);
  const { hooks } = await loadConfig(args.config);
  const program = programOf(args);
  const states = fragmentStates(root, program, hooks);
  const failures = lastLines(join(storeDirectory(root), 'hooks.log'));
  const whole = states.every(({ state }) => state === 'installed');
  if (args.json === true) {
    const document = inventory(root, { hooks: { program, fragments: states, failures } });
    process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
  } else {
    process.stdout.write(
      table(
        ['state', 'file'],
        states.map(({ path, state }) => [state, path]),
      ) +
        (failures.length === 0
          ? ''
          : `the last failures:\n${failures.map((line) => `  ${printable(line)}\n`).join('')}`) +
        (whole ? '' : "hint: 'debmend hooks install' writes what is missing or different\n"),
    );
  }
  return whole ? EXIT.sound : EXIT.findings;
}

/** The hook's program as the root sees it: beside the program that runs, unless another is named. */
function programOf(args: Common): string {
  if (args.program !== undefined) return args.program;
  return args.root === '/'
    ? realpathSync(join(import.meta.dirname, '../../bin/debmend-hook'))
    : '/usr/lib/debmend/bin/debmend-hook';
}

function lastLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-SHOWN);
  } catch {
    return [];
  }
}
