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

const services = group('services', 'let systemd run debmend: the marker, recovery, audit, watch');
const serviceProgram = [
  '--program <path>',
  "debmend inside the root (default: this installation's)",
] as const;
common(services.command('install'), 'write the units, enable them, and start them on the running system')
  .option(...serviceProgram)
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./services.ts')).servicesInstall(options);
  });
common(services.command('remove'), 'stop them, disable them, and take the units away')
  .option(...serviceProgram)
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./services.ts')).servicesRemove(options);
  });
common(services.command('status'), 'say of each unit whether it is installed and enabled')
  .option(...serviceProgram)
  .action(async (options: unknown) => {
    process.exitCode = (await import('./services.ts')).servicesStatus(options);
  });

program
  .command('outage')
  .description('say whether the boot before this one ended in an outage, when, and why; changes nothing')
  .option('--root <dir>', 'the system to look at: / or a mounted disk', '/')
  .option('--wait <seconds>', 'how long slow sources are waited for (default: 0.8)', number(0))
  .option('--all', 'show what could not be asked, too')
  .option('--json', 'print JSON (schemas/outage.schema.json)')
  .addHelpText('after', EXIT_HELP)
  .showHelpAfterError('hint: debmend outage --help tells what there is')
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./outage.ts')).outageCommand(options);
  });

const fsck = group('fsck', 'how the filesystems are; check them, or have them checked at the next boot');
common(
  fsck.command('status'),
  'say how each filesystem with package files is, and whose files were hit; changes nothing',
  'schemas/report.schema.json',
)
  .option(
    '--all',
    'show what needs no hand, what could not be asked, and filesystems without package files, too',
  )
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./fsck.ts')).fsckStatus(options);
  });
fsck
  .command('run')
  .description('check a filesystem that is not mounted, or an image; without --repair nothing is changed')
  .argument('<device>', 'a block device, or a file that holds an image')
  .addOption(
    new Option(
      '--repair [how]',
      'repair what the check finds: what is safe to do unasked (preen), or all of it; then check again',
    )
      .choices(['preen', 'all'])
      .preset('preen'),
  )
  .option('--no-undo', 'repair without keeping a way back')
  .option(
    '--root <dir>',
    'the system whose packages own its files (default: the one on the filesystem itself, or this one)',
  )
  .option('--mount-point <path>', "where it belongs in that system (default: as the system's fstab says)")
  .addOption(
    new Option('--type <type>', 'what it is, where no superblock tells any more').choices([
      'ext2',
      'ext3',
      'ext4',
      'xfs',
      'btrfs',
      'vfat',
    ]),
  )
  .option('--no-mount', 'do not look into it by mounting it read-only for the time')
  .option('--scratch <dir>', 'where copies of its metadata may be made (default: /var/tmp)')
  .option('--store <dir>', 'where the way back is kept (default: /var/lib/debmend)')
  .option('--all', 'show every finding')
  .option('--json', 'print JSON (schemas/inventory.schema.json)')
  .addHelpText('after', EXIT_HELP)
  .showHelpAfterError('hint: debmend fsck run --help tells what there is')
  .action(async (device: string, options: unknown) => {
    process.exitCode = await (await import('./fsck-run.ts')).fsckRun(device, options);
  });
stored(
  common(
    fsck.command('return'),
    'say what in lost+found belongs where, by manifests and snapshots; with --apply it goes back there',
  ),
)
  .option('--apply', 'do it; every action is journaled, and debmend undo takes it back')
  .option('--all', 'list everything')
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./fsck-run.ts')).fsckReturn(options);
  });
stored(common(fsck.command('schedule'), 'have filesystems checked at the next boot, once'))
  .argument('[mounts...]', 'mount points inside the root (default: those that recorded errors)')
  .option('--all', 'every filesystem that can be checked at boot')
  .option('--cancel', 'take it back')
  .option('--dry-run', 'only say what would be done, with the very commands')
  .action(async (mounts: string[], options: unknown) => {
    process.exitCode = await (await import('./fsck-schedule.ts')).fsckSchedule(mounts, options);
  });
common(fsck.command('scrub'), 'check mounted filesystems while they are in use, where their type can do that')
  .argument('[mounts...]', 'mount points inside the root (default: all that can)')
  .option('--dry-run', 'only say what would be done')
  .action(async (mounts: string[], options: unknown) => {
    process.exitCode = await (await import('./fsck-scrub.ts')).fsckScrub(mounts, options);
  });

stored(
  common(
    program.command('plan'),
    'say what a recovery would do, and why, step by step; changes nothing',
    'schemas/report.schema.json',
  ),
)
  .option('--all', 'list every step, and what is left alone')
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./recover.ts')).planCommand(options);
  });
stored(
  common(
    program.command('recover'),
    'mend what an outage broke and finish what it interrupted; without --apply it only says how',
    'schemas/report.schema.json',
  ),
)
  .option('--all', 'list every step, and what is left alone')
  .option('--apply', 'do it; every action is journaled, and debmend undo takes it back')
  .option('--service', 'do what the policy of the configuration says (recovery.policy)')
  .option('--wait <seconds>', "how long another process that holds dpkg's locks is waited for", number(0), 0)
  .action(async (options: unknown) => {
    process.exitCode = await (await import('./recover.ts')).recoverCommand(options);
  });

// For the marker's unit, and nobody else.
const marker = program.command('marker', { hidden: true }).description('the marker of a running boot');
marker
  .command('set')
  .option('--root <dir>', 'the system', '/')
  .action(async (options: unknown) => {
    process.exitCode = (await import('./marker.ts')).markerSet(options);
  });
marker
  .command('clear')
  .option('--root <dir>', 'the system', '/')
  .action(async (options: unknown) => {
    process.exitCode = (await import('./marker.ts')).markerClear(options);
  });

stored(
  common(program.command('undo'), 'take back what a run of a recovery changed; says only what it would do'),
)
  .argument('<run>', "a run's name, as a report and 'debmend quarantine list' tell it")
  .option('--apply', 'do it')
  .action(async (run: string, options: unknown) => {
    process.exitCode = await (await import('./undo.ts')).undoCommand(run, options);
  });

const quarantine = group('quarantine', 'what recoveries moved aside: list it, put it back, delete it');
common(quarantine.command('list'), 'list what is in it').action(async (options: unknown) => {
  process.exitCode = (await import('./quarantine.ts')).quarantineList(options);
});
common(quarantine.command('show'), 'show one item')
  .argument('<item>', 'RUN/N')
  .action(async (item: string, options: unknown) => {
    process.exitCode = (await import('./quarantine.ts')).quarantineShow(item, options);
  });
common(quarantine.command('restore'), 'put an item back to where it stood; never over what stands there')
  .argument('<item>', 'RUN/N')
  .action(async (item: string, options: unknown) => {
    process.exitCode = await (await import('./quarantine.ts')).quarantineRestore(item, options);
  });
common(quarantine.command('purge'), 'delete items for good; says only which it would delete')
  .argument('[items...]', 'RUN or RUN/N (default: all)')
  .option('--older-than <days>', 'only what was moved aside longer ago', number(0))
  .option('--yes', 'do it')
  .action(async (items: string[], options: unknown) => {
    process.exitCode = (await import('./quarantine.ts')).quarantinePurge(items, options);
  });

for (const command of quarantine.commands) stored(command);

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
function common(command: Command, description: string, schema = 'schemas/inventory.schema.json'): Command {
  return command
    .description(description)
    .option('--root <dir>', 'the system to look at', '/')
    .option('--json', `print JSON (${schema})`)
    .option('--config <file>', 'the configuration (default: /etc/debmend/config.yaml)')
    .addHelpText('after', EXIT_HELP)
    .showHelpAfterError(
      `hint: debmend ${[command.parent, command]
        .map((one) => one?.name())
        .filter((name) => name !== 'debmend')
        .join(' ')} --help tells what there is`,
    );
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode =
    error instanceof CommanderError ? (error.exitCode === 0 ? EXIT.sound : EXIT.usage) : reportFailure(error);
}
