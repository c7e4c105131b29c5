#!/usr/bin/env node
/** The entry point: names the commands; each loads what it needs only when it is called. */
import { Command, CommanderError, Option } from 'commander';
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

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode =
    error instanceof CommanderError ? (error.exitCode === 0 ? EXIT.sound : EXIT.usage) : reportFailure(error);
}
