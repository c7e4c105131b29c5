/**
 * A group of alternatives as the maintainer scripts of the installed packages register it (update-alternatives(1)): what
 * dh_installalternatives writes is literal, and only that is believed.
 */
import type { Bytes } from '../../system/bytes.ts';
import type { RecordSet } from './record-text.ts';
import type { Workbench } from './workbench.ts';

interface Registration {
  readonly link: Bytes;
  readonly file: Bytes;
  readonly priority: number;
  readonly slaves: readonly { readonly name: Bytes; readonly link: Bytes; readonly file: Bytes }[];
}

/**
 * @param linkOf where a link points
 * @returns the file of the group; undefined when the scripts don't explain the links that are there
 */
export async function groupFromScripts(
  bench: Workbench,
  records: RecordSet,
  name: Bytes,
  linkOf: (path: Bytes) => Bytes | undefined,
): Promise<Bytes | undefined> {
  const { info } = bench.database;
  const found: Registration[] = [];
  for (const { package: pkg } of records.all()) {
    if (pkg.state === 'not-installed' || pkg.state === 'config-files') continue;
    const script = await bench.contentOf(`info/${info.stemOf(pkg)}.postinst`);
    if (script === undefined || !script.includes('update-alternatives')) continue;
    const registered = registrationsOf(script, name);
    if (registered === undefined) return undefined;
    found.push(...registered);
  }
  const [first] = found;
  const current = linkOf(`/etc/alternatives/${name}`);
  if (first === undefined || current === undefined) return undefined;
  if (found.some(({ link }) => link !== first.link)) return undefined;
  if (linkOf(first.link) !== `/etc/alternatives/${name}` || !found.some(({ file }) => file === current))
    return undefined;
  // As update-alternatives writes them: slaves and choices by name (utils/update-alternatives.c).
  const slaves = new Map(
    found.flatMap(({ slaves: own }) => own.map((slave) => [slave.name, slave.link] as const)),
  );
  const names = [...slaves.keys()].sort();
  const choices = [...found].sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
  const best = found.reduce((high, next) => (next.priority > high.priority ? next : high), first);
  // A link to the best choice is what automatic mode makes; whether a person chose the same nothing tells.
  const lines = [best.file === current ? 'auto' : 'manual', first.link];
  for (const slave of names) lines.push(slave, slaves.get(slave) ?? '');
  lines.push('');
  for (const { file, priority, slaves: own } of choices) {
    lines.push(file, String(priority));
    for (const slave of names) lines.push(own.find((one) => one.name === slave)?.file ?? '');
  }
  return `${lines.join('\n')}\n\n`;
}

/** The calls that register choices of a group; undefined when one of them is not literal. */
function registrationsOf(script: Bytes, name: Bytes): Registration[] | undefined {
  const found: Registration[] = [];
  for (const line of script.replaceAll('\\\n', ' ').split('\n')) {
    const call = /(?:^|[\s;&|])(?:\/usr\/s?bin\/)?update-alternatives\s(.*)$/.exec(line)?.[1];
    if (call === undefined || !call.includes('--install')) continue;
    const words = call
      .trim()
      .split(/\s+/)
      .filter((word) => word !== '--quiet' && word !== '--force');
    const at = words.indexOf('--install');
    if (words[at + 2] !== name && !/[$`"']/.test(words[at + 2] ?? '$')) continue;
    if (words.some((word) => /[$`"'*?]/.test(word))) return undefined;
    const [link = '', , file = '', priority = '', ...rest] = words.slice(at + 1);
    if (at !== 0 || !/^-?\d+$/.test(priority) || rest.length % 4 !== 0) return undefined;
    const slaves: Registration['slaves'][number][] = [];
    for (let i = 0; i < rest.length; i += 4) {
      const [option, slaveLink = '', slave = '', slaveFile = ''] = rest.slice(i, i + 4);
      if (option !== '--slave') return undefined;
      slaves.push({ name: slave, link: slaveLink, file: slaveFile });
    }
    found.push({ link, file, priority: Number(priority), slaves });
  }
  return found;
}
