/**
 * Files that are compared by what they say, because dpkg, apt and debconf write their records in an order of their own:
 * as a list of records by a name of their own. A file that its reader would refuse has no records.
 */
import { parseDeb822 } from '../../../src/dpkg/deb822.ts';
import { parseDiversions } from '../../../src/dpkg/diversions.ts';
import { parseStatoverride } from '../../../src/dpkg/statoverride.ts';
import { parseConffiles } from '../../../src/dpkg/status.ts';
import { parseTriggersFile, parseUnincorp } from '../../../src/dpkg/triggers.ts';
import type { Bytes } from '../../../src/system/bytes.ts';

/** By name; of each its fields. */
export type Records = ReadonlyMap<Bytes, ReadonlyMap<Bytes, Bytes>>;

export interface Reading {
  /** What a record is called in a sentence. */
  readonly of: string;
  /** @returns undefined for a file that is damaged */
  readonly read: (text: Bytes) => Records | undefined;
}

/** How a file is read by its meaning, or undefined for all others, whose bytes count. */
export function readingOf(path: Bytes): Reading | undefined {
  switch (path) {
    case '/var/lib/dpkg/status':
      return { of: "dpkg's record of", read: packageRecords };
    case '/var/lib/dpkg/available':
      return { of: "dpkg's record of the available", read: packageRecords };
    case '/var/lib/apt/extended_states':
      return { of: "apt's record of", read: packageRecords };
    case '/var/lib/dpkg/diversions':
      return { of: 'the diversion of', read: diversionRecords };
    case '/var/lib/dpkg/statoverride':
      return { of: 'the override of', read: overrideRecords };
    case '/var/lib/dpkg/triggers/File':
      return { of: 'the interest in', read: interestRecords };
    case '/var/lib/dpkg/triggers/Unincorp':
      return { of: 'the activation of', read: activationRecords };
    case '/etc/shadow':
      return { of: 'the password of', read: shadowRecords };
    default:
      if (/^\/var\/cache\/debconf\/[^/]+\.dat$/.test(path)) {
        return { of: "debconf's record of", read: debconfRecords };
      }
      return undefined;
  }
}

/** deb-control(5) stanzas by package and architecture, conffiles a field each. */
function packageRecords(text: Bytes): Records | undefined {
  const { stanzas, problems } = parseDeb822(text);
  if (problems.length > 0) return undefined;
  const records = new Map<Bytes, ReadonlyMap<Bytes, Bytes>>();
  for (const { fields } of stanzas) {
    const name = `${fields.get('package')}:${fields.get('architecture')}`;
    const conffiles = parseConffiles(fields.get('conffiles') ?? '');
    if (typeof conffiles === 'string' || records.has(name)) return undefined;
    const all = new Map(fields);
    all.delete('conffiles');
    for (const { path, hash, obsolete, removeOnUpgrade } of conffiles) {
      const flags = `${obsolete ? ' obsolete' : ''}${removeOnUpgrade ? ' remove-on-upgrade' : ''}`;
      all.set(`conffile ${path}`, hash + flags);
    }
    records.set(name, all);
  }
  return records;
}

function diversionRecords(text: Bytes): Records | undefined {
  const { diversions, damaged } = parseDiversions(text, 'diversions');
  if (damaged) return undefined;
  return new Map(
    diversions.map(({ from, to, package: owner }) => [
      from,
      new Map([
        ['to', to],
        ['package', owner ?? ':'],
      ]),
    ]),
  );
}

function overrideRecords(text: Bytes): Records | undefined {
  const { overrides, damaged } = parseStatoverride(text);
  if (damaged) return undefined;
  return new Map(
    overrides.map(({ path, user, group, mode }) => [
      path,
      new Map([
        ['user', user],
        ['group', group],
        ['mode', mode.toString(8)],
      ]),
    ]),
  );
}

function interestRecords(text: Bytes): Records | undefined {
  const { triggers, message } = parseTriggersFile(text, 'File');
  if (message !== undefined) return undefined;
  return new Map(
    triggers.map(({ path, package: owner, noawait }) => [
      `${path} by ${owner}`,
      new Map([['noawait', String(noawait)]]),
    ]),
  );
}

function activationRecords(text: Bytes): Records | undefined {
  const { activations, message } = parseUnincorp(text, 'Unincorp');
  if (message !== undefined) return undefined;
  return new Map(
    activations.map(({ trigger, packages }) => [
      trigger,
      new Map([['packages', [...packages].sort().join(' ')]]),
    ]),
  );
}

/** shadow(5); the third field is the day of the last change, and a run that goes past midnight has another. */
function shadowRecords(text: Bytes): Records | undefined {
  if (!text.endsWith('\n')) return undefined;
  const lines = text.slice(0, -1).split('\n');
  return new Map(
    lines.map((line, at) => {
      const [name = '', password = '', , ...others] = line.split(':');
      return [
        name,
        new Map([
          ['line', String(at + 1)],
          ['password', password],
          ['others', others.join(':')],
        ]),
      ];
    }),
  );
}

/** debconf-devel(7), DbDriver::File: stanzas with a Name. */
function debconfRecords(text: Bytes): Records | undefined {
  if (text !== '' && !text.endsWith('\n\n')) return undefined;
  const records = new Map<Bytes, ReadonlyMap<Bytes, Bytes>>();
  for (const stanza of text.split('\n\n').filter((part) => part !== '')) {
    const name = /^Name: (.*)$/m.exec(stanza)?.[1];
    if (name === undefined || stanza.includes('\0')) return undefined;
    // Owners and variables are lists without an order.
    records.set(name, new Map([['text', stanza.split('\n').map(sortedOwners).sort().join('\n')]]));
  }
  return records;
}

function sortedOwners(line: Bytes): Bytes {
  return line.startsWith('Owners: ') ? `Owners: ${line.slice(8).split(', ').sort().join(', ')}` : line;
}
