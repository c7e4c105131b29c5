/** I8: nothing that apt, dpkg or a power cut sends crashes what the hooks read, and nothing false is read from it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { intendedPackages, parseAptHook } from '../../src/dpkg/apt-hook.ts';
import { parseControlArchive, parseDeclaredConffiles } from '../../src/dpkg/control-archive.ts';
import { TarParser } from '../../src/dpkg/deb.ts';
import { type IndexIdentity, IndexSummary, SummaryBuilder } from '../../src/dpkg/index-summary.ts';
import { PACKAGE_STATES } from '../../src/dpkg/package.ts';
import { type IndexedArchive, PackagesReader } from '../../src/dpkg/packages-index.ts';
import { PROCESSING_STAGES, parseStatusLog } from '../../src/dpkg/status-logger.ts';
import { bufferOf, bytesOf } from '../../src/system/bytes.ts';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map(bytesOf);
const word = (alphabet: string) =>
  fc.array(fc.constantFrom(...alphabet), { minLength: 1, maxLength: 12 }).map((chars) => chars.join(''));
const packageName = word('abcdefgh0123+.-');
const version = word('0123456789.:~+-abc').map((text) => `1${text}`);
const architecture = fc.constantFrom('all', 'amd64', 'i386');
/** A sound text with a part lost, replaced or put in. */
const damaged = (sound: string) =>
  fc
    .record({
      at: fc.nat(sound.length),
      removed: fc.nat(120),
      put: fc.oneof(
        bytes(40),
        fc.nat(5000).map((length) => '\0'.repeat(length)),
        fc.constantFrom(' ', '\n', ''),
      ),
      kept: fc.oneof(fc.constant(Infinity), fc.nat(sound.length)),
    })
    .map(({ at, removed, put, kept }) =>
      (sound.slice(0, at) + put + sound.slice(at + removed)).slice(0, kept),
    );

const HOOK = `VERSION 3
APT::Architecture=amd64
DPkg::Pre-Install-Pkgs::=/a%20b
DPkg::Pre-Install-Pkgs::=c%25

t 1 all none < 2 all none /a b/t_2_all.deb
u 2 amd64 same > - - none **REMOVE**
t 1 all none < 2 all none **CONFIGURE**
`;
const LOG = `processing: install: t
status: t:amd64: half-installed
status: /e : conffile-prompt : '/e' '/e.dpkg-new' 1 1${' '}
status: t : error : no
`;
const HASH = 'a'.repeat(64);
const INDEX = ['a', 'b', 'c']
  .map((name) => `Package: ${name}\nVersion: 1\nArchitecture: all\nSize: 3\nSHA256: ${HASH}\n`)
  .join('\n');

function readIndex(data: string, step = data.length): IndexedArchive[] {
  const found: IndexedArchive[] = [];
  const reader = new PackagesReader((archive) => found.push(archive));
  for (let at = 0; at < data.length; at += Math.max(1, step))
    reader.push(bufferOf(data.slice(at, at + Math.max(1, step))));
  reader.end();
  return found;
}

const PARSERS: readonly [string, (data: string) => unknown, string][] = [
  ['apt hook', (data) => intendedPackages(parseAptHook(data)), HOOK],
  ['status log', parseStatusLog, LOG],
  ['conffiles', parseDeclaredConffiles, '/etc/a\nremove-on-upgrade /etc/b\n'],
  ['index', readIndex, INDEX],
  [
    'control archive',
    (data) => {
      const parser = new TarParser(() => true);
      parser.push(bufferOf(data));
      return parseControlArchive(parser);
    },
    `${'./control'.padEnd(100, '\0')}0000644\x000000000\x000000000\x0000000000060\x00`
      .padEnd(156, '0')
      .padEnd(512, '\0')
      .concat('Package: t\nVersion: 1\nArchitecture: all\n'.padEnd(512, '\0'), '\0'.repeat(1024)),
  ],
];

describe.each(PARSERS)('I8: %s', (_, parse, sound) => {
  it('takes any bytes', () => {
    fc.assert(
      fc.property(bytes(3000), (data) => void parse(data)),
      { numRuns: 500 },
    );
  });

  it('takes any damage of something sound', () => {
    fc.assert(
      fc.property(damaged(sound), (data) => void parse(data)),
      { numRuns: 2000 },
    );
  });

  it.each([
    ...['\0', 'x', '\n', ' ', '%', '=', ': ', ' : error : ', "' '", 'a\n'].map((unit) => [unit, unit]),
    ['its own sound input', sound],
  ])('is linear in %j', (_name, unit = '') => {
    const times = (size: number): number => {
      const data = `${unit.repeat(Math.ceil(size / unit.length))}\n`;
      let best = Infinity;
      for (let run = 0; run < 3; run += 1) {
        const start = performance.now();
        parse(data);
        best = Math.min(best, performance.now() - start);
      }
      return best;
    };
    times(60_000);
    const once = times(60_000);
    expect(times(16 * 60_000)).toBeLessThan(Math.max(100, 80 * once));
  });
});

describe('what apt says', () => {
  const action = fc.record({
    name: packageName,
    old: fc.option(version),
    next: version,
    architecture,
    step: fc.oneof(
      fc.constantFrom('**CONFIGURE**', '**REMOVE**'),
      bytes(30).map((name) => `/${name.replace(/[\n\0]/g, ' ')}`),
    ),
  });

  it('is read as it was said', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 8 }), (actions) => {
        const lines = actions.map(
          ({ name, old, next, architecture: of, step }) =>
            `${name} ${old === null ? '- - none' : `${old} ${of} none`} < ${next} ${of} same ${step}\n`,
        );
        const input = parseAptHook(`VERSION 3\n\n${lines.join('')}`);
        expect(input).toMatchObject({ complete: true, problems: [] });
        expect(
          input.actions.map((read) => [
            read.package,
            read.oldVersion ?? null,
            read.newVersion,
            read.newArchitecture,
            read.step.kind === 'unpack' ? read.step.archive : `**${read.step.kind.toUpperCase()}**`,
          ]),
        ).toEqual(actions.map(({ name, old, next, architecture: of, step }) => [name, old, next, of, step]));
        const names = new Set(actions.map(({ name, architecture: of }) => `${name} ${of}`));
        expect(intendedPackages(input)).toHaveLength(names.size);
      }),
      { numRuns: 1000 },
    );
  });

  it('of its settings too, whatever bytes they hold', () => {
    const quote = (text: string) =>
      text.replace(/[^!#-$&-<>-~]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
    fc.assert(
      fc.property(bytes(30), bytes(60), (name, value) => {
        const { configuration, problems } = parseAptHook(`VERSION 2\nA${quote(name)}=${quote(value)}\n\n`);
        fc.pre(!name.endsWith('::'));
        expect(problems).toEqual([]);
        expect([...configuration]).toEqual([[`A${name}`, value]]);
      }),
      { numRuns: 1000 },
    );
  });

  it('is whole or known to be cut, up to where one action ends and the next begins', () => {
    fc.assert(
      fc.property(fc.nat(HOOK.length - 1), (length) => {
        const { complete, actions } = parseAptHook(HOOK.slice(0, length));
        const whole = parseAptHook(HOOK).actions;
        expect(actions).toEqual(whole.slice(0, actions.length));
        const between = HOOK.charAt(length - 1) === '\n' && length > HOOK.indexOf('\n\n') + 1;
        expect(complete).toBe(between || length === 0);
      }),
      { numRuns: 500 },
    );
  });
});

describe('what dpkg says', () => {
  it('is read in pieces as it is read whole', () => {
    const event = fc.oneof(
      fc
        .tuple(packageName, fc.constantFrom(...PACKAGE_STATES))
        .map(([name, state]) => `status: ${name}: ${state}`),
      fc
        .tuple(packageName, fc.constantFrom(...PROCESSING_STAGES))
        .map(([name, stage]) => `processing: ${stage}: ${name}:i386`),
      bytes(40).map((text) => text.replace(/[\n\0]/g, ' ')),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 10 }), fc.integer({ min: 1, max: 60 }), (lines, step) => {
        const data = lines.map((line) => `${line}\n`).join('');
        const events = [];
        let rest = '';
        for (let at = 0; at < data.length; at += step) {
          const read = parseStatusLog(rest + data.slice(at, at + step));
          events.push(...read.events);
          rest = read.rest;
        }
        expect(rest).toBe('');
        expect(events).toEqual(parseStatusLog(data).events);
        expect(events).toHaveLength(lines.filter((line) => line !== '').length);
      }),
      { numRuns: 500 },
    );
  });
});

describe('an index', () => {
  it('is read in pieces as it is read whole', () => {
    fc.assert(
      fc.property(damaged(INDEX), fc.integer({ min: 1, max: 100 }), (data, step) => {
        expect(readIndex(data, step)).toEqual(readIndex(data));
      }),
      { numRuns: 1000 },
    );
  });

  it('over which a page of NUL bytes lies says nothing false', () => {
    const text = Array.from(
      { length: 20 },
      (_, i) =>
        `Package: p${i}\nVersion: ${i}\nArchitecture: all\nSize: ${i}\nSHA256: ${`${i}`.padStart(64, '0')}\n`,
    ).join('\n');
    fc.assert(
      fc.property(fc.nat(text.length), fc.integer({ min: 1, max: 900 }), (from, length) => {
        const nul = '\0'.repeat(Math.min(length, text.length - from));
        for (const { name, version: of, size, sha256 } of readIndex(
          text.slice(0, from) + nul + text.slice(from + nul.length),
        )) {
          expect({ name, size, sha256 }).toEqual({
            name: `p${of}`,
            size: Number(of),
            sha256: of.padStart(64, '0'),
          });
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a summary', () => {
  const identity: IndexIdentity = { path: '/caf\xe9_Packages', inode: 2n ** 63n, size: 5n, mtime: -1n };
  const archive = fc.record({
    name: packageName,
    version,
    architecture,
    size: fc.nat({ max: 2 ** 40 }),
    sha256: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((data) => Buffer.from(data).toString('hex')),
  });
  const fileOf = (archives: readonly IndexedArchive[]): Buffer => {
    const builder = new SummaryBuilder();
    for (const each of archives) builder.add(each);
    return builder.encode(identity);
  };
  const openFile = (file: Buffer, of = identity): IndexSummary | undefined =>
    IndexSummary.open(
      {
        length: file.length,
        read: (offset, length) =>
          offset + length <= file.length ? file.subarray(offset, offset + length) : undefined,
      },
      of,
    );

  it('has what was put into it, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(archive, { maxLength: 400 }), archive, (archives, other) => {
        const summary = openFile(fileOf(archives));
        expect(summary?.isSound()).toBe(true);
        for (const asked of [...archives.slice(0, 20), other]) {
          const { name, version: of, architecture: on } = asked;
          const expected = archives
            .filter((each) => each.name === name && each.version === of && each.architecture === on)
            .map(({ sha256, size }) => ({ sha256, size }));
          const found = summary?.lookup(name, of, on) ?? [];
          expect(found).toHaveLength(expected.length);
          expect(found).toEqual(expect.arrayContaining(expected));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('is that of one state of one index', () => {
    const file = fileOf([]);
    expect(openFile(file)).toBeDefined();
    for (const other of [{ path: '/x' }, { inode: 1n }, { size: 6n }, { mtime: 0n }])
      expect(openFile(file, { ...identity, ...other })).toBeUndefined();
  });

  it('with any byte changed or lost is refused, or its damaged part is', () => {
    const archives = Array.from({ length: 300 }, (_, i) => ({
      name: `p${i}`,
      version: '1',
      architecture: 'all',
      size: i,
      sha256: `${i}`.padStart(64, '0'),
    }));
    const sound = fileOf(archives);
    fc.assert(
      fc.property(
        fc.nat(sound.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (at, flip, cut) => {
          const file = Buffer.from(cut ? sound.subarray(0, at) : sound);
          if (!cut) file.writeUInt8(file.readUInt8(at) ^ flip, at);
          const summary = openFile(file);
          if (summary === undefined) return;
          expect(cut).toBe(false);
          expect(summary.isSound()).toBe(false);
          for (const { name, size, sha256 } of archives) {
            expect([undefined, [{ sha256, size }]]).toContainEqual(summary.lookup(name, '1', 'all'));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is never opened from any bytes', () => {
    fc.assert(
      fc.property(bytes(300), (data) => {
        expect(openFile(bufferOf(data))).toBeUndefined();
        expect(openFile(bufferOf(bytesOf(fileOf([])).slice(0, 16) + data))).toBeUndefined();
      }),
    );
  });
});
