/**
 * ext2, ext3, ext4: `e2fsck -fn`. What that cannot tell is found on a copy of the metadata, which e2image makes and
 * which is thrown away (ext-scratch.ts): how it is with the journal replayed, and what comes after the place where
 * `-n` gives up.
 */
import { DamageList } from './damage.ts';
import { cameToItsEnd, fsckMeanings } from './exit-bits.ts';
import { nameInodes } from './ext-names.ts';
import { ExtParser } from './ext-parse.ts';
import { withMetadataCopy } from './ext-scratch.ts';
import { type CheckContext, type Checked, unexplained } from './outcome.ts';
import { runTool } from './program.ts';

export async function checkExt(context: CheckContext): Promise<Checked> {
  const { target } = context;
  const first = await e2fsck(context, ['-f', '-n', target.file]);
  const notes: string[] = [];
  if (target.needsRecovery) return await withJournalReplayed(context, first, notes);
  if (!first.finished) {
    const rest = await rehearse(context, notes);
    if (rest !== undefined) {
      // What a repair would come upon is damage, too; that nothing was kept from being told is what the copy is for.
      await nameInodes(context, rest.damages);
      return { ...first, damages: rest.damages, finished: true, notes };
    }
  }
  await nameInodes(context, first.damages);
  return { ...first, notes };
}

interface Run extends Omit<Checked, 'notes'> {}

async function e2fsck(context: CheckContext, args: readonly string[]): Promise<Run> {
  const damages = new DamageList();
  const parser = new ExtParser(damages);
  const errors: string[] = [];
  const result = await runTool('e2fsck', args, {
    abort: context.abort,
    onLine: (line, stream) => {
      context.raw(line);
      if (stream === 'stdout') parser.line(line);
      else if (!/^e2fsck \d|^\s*$/.test(line)) errors.push(line);
    },
  });
  for (const line of errors) {
    if (/Superblock invalid|Bad magic number|trying backup/.test(line))
      damages.add({ kind: 'structure' }, line);
  }
  const finished = cameToItsEnd(result.code) && parser.reachedLastPass;
  if (!finished)
    damages.add({ kind: 'unfinished' }, errors.at(-1) ?? 'e2fsck gave up before it had looked at everything');
  else if (result.code !== 0 && result.code !== 1) unexplained(damages, 'e2fsck', result);
  return {
    program: 'e2fsck',
    args,
    code: result.code,
    meanings: fsckMeanings(result.code),
    finished,
    damages,
  };
}

/**
 * `-n` looks past the journal, and reports what is only not in its place yet as damage (seen: counts, and names of
 * removed files). The copy has it replayed, and is what the verdict is about.
 */
async function withJournalReplayed(context: CheckContext, first: Run, notes: string[]): Promise<Checked> {
  const replayed = await withMetadataCopy(context, notes, async (copy) => {
    const replay = await runTool('e2fsck', ['-E', 'journal_only', '-y', copy], { abort: context.abort });
    if (!cameToItsEnd(replay.code)) {
      notes.push('the journal could not be replayed on a copy of the metadata');
      return undefined;
    }
    const run = await e2fsck(context, ['-f', '-n', copy]);
    await nameInodes(context, run.damages, copy);
    return run;
  });
  const pending = 'the journal has not been replayed: mounting it does that';
  if (replayed === undefined) {
    await nameInodes(context, first.damages);
    first.damages.add({ kind: 'journal' }, pending);
    return { ...first, finished: false, notes };
  }
  replayed.damages.add(
    { kind: 'journal', harmless: replayed.damages.list().every(({ harmless }) => harmless) },
    pending,
  );
  notes.push(
    'what is said of it holds for the time after the journal is replayed, which was tried on a copy of its metadata',
  );
  return { ...replayed, args: first.args, notes };
}

/** What `-y` would come upon, on a copy: a directory block that is garbage ends `-n` in the middle. */
async function rehearse(context: CheckContext, notes: string[]): Promise<Run | undefined> {
  return await withMetadataCopy(context, notes, async (copy) => {
    const run = await e2fsck(context, ['-f', '-y', copy]);
    if (!run.finished) return undefined;
    notes.push(
      'e2fsck -n gave up in the middle; the rest was found by repairing a copy of the metadata, which is thrown away',
    );
    return run;
  });
}
