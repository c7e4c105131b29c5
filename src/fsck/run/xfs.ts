/**
 * XFS: `xfs_repair -n`. A log with changes makes it report what is none (it says so itself), so those are looked for on
 * a copy of the metadata, which is mounted to have its log replayed (xfs-scratch.ts). `-L` is never used: it throws the
 * log away.
 */
import { DamageList } from './damage.ts';
import { type CheckContext, type Checked, unexplained } from './outcome.ts';
import { runTool } from './program.ts';
import { nameXfsInodes } from './xfs-names.ts';
import { XfsParser } from './xfs-parse.ts';
import { withReplayedCopy } from './xfs-scratch.ts';

export async function checkXfs(context: CheckContext): Promise<Checked> {
  const notes: string[] = [];
  const first = await xfsRepair(context, context.target.file, context.target.kind === 'image');
  if (!first.dirtyLog) {
    await nameXfsInodes(context, first.parser.entries, first.damages, context.target.file);
    return { ...first, notes };
  }
  const pending = 'the log has changes that are not in their places: mounting it replays them';
  const replayed = await withReplayedCopy(context, notes, async (copy) => {
    const run = await xfsRepair(context, copy, true);
    await nameXfsInodes(context, run.parser.entries, run.damages, copy);
    return run;
  });
  if (replayed === undefined) {
    // What it said is not to be believed: only that the log is not empty is known.
    const damages = new DamageList();
    damages.add({ kind: 'journal' }, pending);
    damages.add({ kind: 'unfinished' }, 'with changes in the log xfs_repair -n reports damage that is none');
    return { ...first, damages, finished: false, notes };
  }
  const harmless = replayed.damages.list().every((one) => one.harmless);
  replayed.damages.add({ kind: 'journal', harmless }, pending);
  notes.push(
    'what is said of it holds for the time after the log is replayed, which was tried on a copy of its metadata',
  );
  return { ...replayed, args: first.args, notes };
}

interface Run extends Omit<Checked, 'notes'> {
  readonly dirtyLog: boolean;
  readonly parser: XfsParser;
}

async function xfsRepair(context: CheckContext, file: string, isImage: boolean): Promise<Run> {
  const damages = new DamageList();
  const parser = new XfsParser(damages);
  const args = ['-n', ...(isImage ? ['-f'] : []), file];
  const result = await runTool('xfs_repair', args, {
    abort: context.abort,
    onLine: (line) => {
      context.raw(line);
      parser.line(line);
    },
  });
  const finished = parser.reachedEnd && result.code !== undefined;
  if (!finished && !parser.dirtyLog)
    damages.add({ kind: 'unfinished' }, 'xfs_repair gave up before it had looked at everything');
  if (result.code !== 0 && !parser.dirtyLog) unexplained(damages, 'xfs_repair', result);
  return {
    program: 'xfs_repair',
    args,
    code: result.code,
    meanings: meaningsOf(result.code),
    finished,
    damages,
    dirtyLog: parser.dirtyLog,
    parser,
  };
}

/** xfs_repair(8), "EXIT STATUS". */
function meaningsOf(code: number | undefined): string[] {
  switch (code) {
    case undefined:
      return ['a signal ended it'];
    case 0:
      return ['no errors'];
    case 1:
      return ['errors were found, or it could not go on'];
    case 2:
      return ['the log has changes: it has to be mounted first'];
    case 4:
      return ['errors were repaired'];
    default:
      return [`${code} is no exit code of xfs_repair`];
  }
}
