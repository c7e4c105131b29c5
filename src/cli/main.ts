#!/usr/bin/env node
/** The entry point: names the commands; each loads what it needs only when it is called. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { SEVERITIES } from '../model/severity.ts';
import { DebmendError } from '../system/errors.ts';
import { toolVersion } from '../system/tool.ts';
import { EXIT, EXIT_HELP } from './exit-codes.ts';
import { reportFailure, usageLine } from './failure.ts';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A reader that has seen enough (`| head`) is no failure.
  if (error.code === 'EPIPE') process.exit(typeof process.exitCode === 'number' ? process.exitCode : 0);
  process.exit(
    reportFailure(
      new DebmendError(
        'output-unwritable',
        `writing to standard output: ${error.code ?? error.message}`,
        'what was written is not whole; make room, or write it elsewhere',
        error,
      ),
    ),
  );
});

const program = new Command('debmend')
  .description('mends Debian and Ubuntu servers after a power cut in the middle of an installation')
  .version(toolVersion(), '--version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .addHelpText('after', EXIT_HELP)
  .configureHelp({ showGlobalOptions: true })
  .configureOutput({ outputError: (message, write) => write(usageLine(message)) })
  .showHelpAfterError('hint: debmend --help tells what there is')
  .exitOverride();

program
  .command('audit')
  .description(
    "compare every package-owned file and dpkg's database with what they should be; changes nothing",
  )
  .option('--root <dir>', 'the system to look at', '/')
  .option('--admindir <dir>', "dpkg's database inside the root (default: /var/lib/dpkg)")
  .option('--package <name...>', 'only these packages (name, or name:arch)')
  .option(
    '--path <path...>',
    'only these paths and what is below them, or globs in which * matches a slash too',
  )
  .option('--quick', 'package states, the database and leftovers only; reads no content')
  .option(
    '--archives <dir...>',
    'also compare types, modes, owners and link targets with the .deb files in there',
  )
  .addOption(
    new Option('--fail-on <severity>', 'the mildest severity that exits with 1')
      .choices([...SEVERITIES, 'never'])
      .default('warning'),
  )
  .option('--json', 'print the report as JSON (schemas/report.schema.json)')
  .option('--output <file>', 'write the report to a file, durably, instead of standard output')
  .option('--all', 'show every finding: nothing is folded')
  .option('--ignore-lock', "audit even while another process works on dpkg's database")
  .option('--config <file>', 'the configuration (default: /etc/debmend/config.yaml)')
  .addHelpText('after', EXIT_HELP)
  .showHelpAfterError('hint: debmend audit --help tells what there is')
  .action(async (options: unknown) => {
    const { auditCommand } = await import('./audit.ts');
    process.exitCode = await auditCommand(options);
  });

const number =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isFinite(value) && value >= least) return value;
    throw new InvalidArgumentError(`it has to be a number, ${least} at least`);
  };

const snapshot = group('snapshot', 'know what every file was: take, list, compare and prune snapshots');
common(snapshot.command('create'), 'look at everything, read what changed, keep what differs')
  .option('--ignore-lock', "take it even while another process works on dpkg's database")
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./snapshot.ts')).snapshotCreate(options);
  });
common(snapshot.command('list'), 'list the snapshots').action(async (options: unknown) => {
  process.exitCode = await (await import('./snapshot.ts')).snapshotList(options);
});
common(snapshot.command('show'), 'show what a snapshot knows')
  .argument('<id>', "a snapshot's number, or latest")
  .option('--path <path>', 'only this path and what is below it')
  .action(async (id: string, options: unknown) => {
    process.exitCode = await (await import('./snapshot.ts')).snapshotShow(id, options);
  });
common(snapshot.command('diff'), 'show what changed between two snapshots')
  .argument('<from>', "a snapshot's number, or latest")
  .argument('[to]', 'another one (default: latest)')
  .action(async (from: string, to: string | undefined, options: unknown) => {
    process.exitCode = await (await import('./snapshot.ts')).snapshotDiff(from, to, options);
  });
common(snapshot.command('prune'), 'remove old snapshots, and what only they needed')
  .option('--keep <number>', 'the most that stay (default: of the configuration)', number(2))
  .option('--keep-days <days>', 'older ones go (default: of the configuration)', number(0))
  .option('--dry-run', 'only say which would go')
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./snapshot.ts')).snapshotPrune(options);
  });

for (const command of snapshot.commands) stored(command);

const transaction = group('transaction', 'what apt and dpkg were going to do, and did');
common(transaction.command('list'), 'list the transactions').action(async (options: unknown) => {
  process.exitCode = await (await import('./transaction.ts')).transactionList(options);
});
common(transaction.command('show'), 'show one transaction')
  .argument('<id>', 'its name, or latest')
  .action(async (id: string, options: unknown) => {
    process.exitCode = await (await import('./transaction.ts')).transactionShow(id, options);
  });

for (const command of transaction.commands) stored(command);

const hooks = group('hooks', 'make apt and dpkg tell debmend of what they do');
const hookProgram = [
  '--program <path>',
  "debmend-hook inside the root (default: this installation's)",
] as const;
common(hooks.command('install'), "write the fragments into apt's and dpkg's configuration")
  .option(...hookProgram)
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./hooks.ts')).hooksInstall(options);
  });
common(hooks.command('remove'), 'take the fragments away').action(async (options: unknown) => {
  process.exitCode = await (await import('./hooks.ts')).hooksRemove(options);
});
common(hooks.command('status'), 'say whether the fragments are in place, and what failed')
  .option(...hookProgram)
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./hooks.ts')).hooksStatus(options);
  });

program
  .command('watch')
  .description(
    'stay and look: transactions of any front end, changes to guarded files, a heartbeat, error counters',
  )
  .option('--root <dir>', 'the system to look at', '/')
  .option('--json', 'print each event as a line of JSON')
  .option('--config <file>', 'the configuration (default: /etc/debmend/config.yaml)')
  .addHelpText('after', EXIT_HELP)
  .showHelpAfterError('hint: debmend watch --help tells what there is')
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./watch.ts')).watchCommand(options);
  });

/** A command that has others below it. */
function group(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .addHelpText('after', EXIT_HELP)
    .showHelpAfterError(`hint: debmend ${name} --help tells what there is`);
}

/** Commands that open the store. */
function stored(command: Command): Command {
  return command.option(
    '--store <dir>',
    "another store than the root's own (default: /var/lib/debmend in the root)",
  );
}

/** What the commands about the store have in common. */
function common(command: Command, description: string): Command {
  return command
    .description(description)
    .option('--root <dir>', 'the system to look at', '/')
    .option('--json', 'print JSON (schemas/inventory.schema.json)')
    .option('--config <file>', 'the configuration (default: /etc/debmend/config.yaml)')
    .addHelpText('after', EXIT_HELP)
    .showHelpAfterError(
      `hint: debmend ${command.parent?.name()} ${command.name()} --help tells what there is`,
    );
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode =
    error instanceof CommanderError ? (error.exitCode === 0 ? EXIT.sound : EXIT.usage) : reportFailure(error);
}
