/** The root's own shell, dpkg and the like: tried before anything of the root is run, and put back where they fail. */
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { bytesToText } from '../model/path-text.ts';
import type { Store } from '../snapshot/store.ts';
import type { Root } from '../system/root.ts';
import type { Action, ActionRecord, Run } from './actions.ts';
import { standardSources } from './database/standard-sources.ts';
import { bringBackTools, brokenTools } from './programs/rescue.ts';
import type { Programs } from './programs/runner.ts';

export interface MendedTools {
  readonly work: boolean;
  readonly actions: readonly ActionRecord[];
  /** What does not work, and what could not be put back, for people. */
  readonly problems: readonly string[];
}

/** @throws DebmendError of an action that could not be done; of reading the database */
export async function mendTools(
  root: Root,
  store: Store,
  run: Run,
  programs: Programs,
  say?: (line: string) => void,
): Promise<MendedTools> {
  const broken = await brokenTools(programs);
  if (broken.length === 0) return { work: true, actions: [], problems: [] };
  say?.(`putting back what mends: ${broken.map(({ program }) => program).join(', ')} does not work`);
  const actions: ActionRecord[] = [];
  const perform = (action: Action, source: string): void => {
    actions.push(run.perform(action, { reason: 'nothing can be mended without it', source }));
  };
  const sources = standardSources(root, store, { admindir: DEFAULT_ADMINDIR });
  try {
    const { lacking, broken: still } = await bringBackTools(
      programs,
      async ({ name, version, architecture }) => (await sources.archive(name, version, architecture))?.file,
      {
        put: (path, data, attributes, source) => perform({ kind: 'put', path, data, attributes }, source),
        link: (path, target, attributes, source) =>
          perform({ kind: 'link', path, target, attributes }, source),
        directory: (path, attributes, source) => perform({ kind: 'directory', path, attributes }, source),
      },
    );
    const problems = [
      ...lacking.map(({ package: name, why }) => `${bytesToText(name)}: ${why}`),
      ...still.map(({ program, why }) => `${program} of this root does not work: ${bytesToText(why)}`),
    ];
    return { work: still.length === 0, actions, problems };
  } finally {
    sources.close();
  }
}
