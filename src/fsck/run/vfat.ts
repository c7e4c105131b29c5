/** FAT: `fsck.vfat -n` (dosfstools). It names files by their paths, and says below each what is wrong with it. */
import type { Bytes } from '../../system/bytes.ts';
import { DamageList } from './damage.ts';
import { type CheckContext, type Checked, unexplained } from './outcome.ts';
import { runTool } from './program.ts';

const NOISE =
  /^(?:This is mostly harmless|fsck\.fat \d|Leaving filesystem unchanged|Performing changes|\s*$)/;
const SUMMARY = /^.+: \d+ files, \d+\/\d+ clusters$/;
/** What is made right by writing it down anew, and means nothing for any file. */
const HARMLESS = /^(?:Free cluster summary|There are differences between boot sector|Dirty bit is set)/;

export class FatParser {
  readonly #damages: DamageList;
  #paths: Bytes[] = [];
  #complete = true;
  /** It came to its summary. */
  reachedEnd = false;

  constructor(damages: DamageList) {
    this.#damages = damages;
  }

  line(raw: Bytes): void {
    if (SUMMARY.test(raw)) {
      this.reachedEnd = true;
      return;
    }
    if (NOISE.test(raw)) {
      this.#paths = [];
      return;
    }
    if (raw.startsWith('/')) {
      // `/A  and`, then the other one on a line of its own.
      if (this.#complete) this.#paths = [];
      this.#complete = !/\s+and$/.test(raw);
      this.#paths.push(raw.replace(/\s+and$/, ''));
      return;
    }
    if (/^\s/.test(raw)) {
      const text = raw.trim();
      for (const path of this.#paths) this.#damages.add({ kind: kindOf(text), path }, this.#said(text, path));
      return; // without a path it goes on from a sentence that was taken
    }
    this.#paths = [];
    this.#complete = true;
    const text = raw.trim();
    if (text.startsWith('Dirty bit is set'))
      this.#damages.add({ kind: 'unclean' }, 'it was not unmounted: its dirty bit is set');
    else if (/^Reclaimed \d+ unused cluster/.test(text))
      this.#damages.add({ kind: 'orphan' }, text.replace('Reclaimed', 'no file owns any more:'));
    else this.#damages.add({ kind: 'structure', harmless: HARMLESS.test(text) }, text);
  }

  #said(text: Bytes, path: Bytes): Bytes {
    if (text !== 'share clusters.') return text;
    return `it shares clusters with ${this.#paths.filter((one) => one !== path).join(', ')}`;
  }
}

function kindOf(text: Bytes): 'file' | 'directory' {
  return /'\.\.?' entry|bad entries|[Dd]irectory/.test(text) ? 'directory' : 'file';
}

export async function checkVfat(context: CheckContext): Promise<Checked> {
  const damages = new DamageList();
  const parser = new FatParser(damages);
  const args = ['-n', context.target.file];
  const errors: Bytes[] = [];
  const result = await runTool('fsck.vfat', args, {
    abort: context.abort,
    onLine: (line, stream) => {
      context.raw(line);
      if (stream === 'stdout') parser.line(line);
      else if (line.trim() !== '') errors.push(line.trim());
    },
  });
  for (const text of errors) damages.add({ kind: 'structure' }, text);
  if (!parser.reachedEnd)
    damages.add({ kind: 'unfinished' }, 'fsck.vfat gave up before it had looked at everything');
  if (result.code !== 0) unexplained(damages, 'fsck.vfat', result);
  return {
    program: 'fsck.vfat',
    args,
    code: result.code,
    meanings: meaningsOf(result.code),
    finished: parser.reachedEnd,
    damages,
    notes: [],
  };
}

/** fsck.fat(8), "EXIT STATUS". */
function meaningsOf(code: number | undefined): string[] {
  switch (code) {
    case undefined:
      return ['a signal ended it'];
    case 0:
      return ['no recoverable errors'];
    case 1:
      return ['recoverable errors, or it found itself inconsistent'];
    default:
      return ['it was called wrongly'];
  }
}
