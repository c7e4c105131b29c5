/** I8: no bytes crash a parser or make it slow, and what stands whole beside the damage is still read. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAlternative } from '../../src/dpkg/alternatives.ts';
import { TarParser } from '../../src/dpkg/deb.ts';
import { parseDiversions } from '../../src/dpkg/diversions.ts';
import { fnmatch, parseDpkgConfig } from '../../src/dpkg/filters.ts';
import { parseList, parseMd5sums } from '../../src/dpkg/manifest.ts';
import { checkRelations } from '../../src/dpkg/relations.ts';
import { parseStatoverride } from '../../src/dpkg/statoverride.ts';
import { parseConffiles, parseStatus } from '../../src/dpkg/status.ts';
import { temporaryName } from '../../src/dpkg/temporary-names.ts';
import { parseExplicitInterest, parseTriggersFile, parseUnincorp } from '../../src/dpkg/triggers.ts';
import { checkVersion } from '../../src/dpkg/version.ts';
import { pathForTerminal, pathToText, textToPath } from '../../src/model/path-text.ts';
import { bufferOf, bytesFromText, bytesOf, fsPath } from '../../src/system/bytes.ts';

const HASH = 'd41d8cd98f00b204e9800998ecf8427e';
const stanza = (name: string): string => `Package: ${name}
Status: install ok installed
Priority: optional
Maintainer: A <a@a>
Architecture: amd64
Version: 1:2-3
Depends: b (>= 2), c | d:any
Conffiles:
 /etc/${name} ${HASH}
 /etc/${name}.old newconffile obsolete
Description: x
 more
 .
 end
`;

interface Parser {
  readonly parse: (data: string) => unknown;
  /** Something that the parser reads whole. */
  readonly sound: string;
}

const PARSERS: Readonly<Record<string, Parser>> = {
  status: {
    parse: (data) => parseStatus(data, 'status'),
    sound: `${stanza('a')}\n${stanza('b')}\n${stanza('e')}`,
  },
  conffiles: {
    parse: parseConffiles,
    sound: `\n /etc/a ${HASH}\n /etc/b c ${HASH} obsolete remove-on-upgrade`,
  },
  relations: { parse: (data) => checkRelations('Depends', data), sound: 'a (>= 1:2-3), b:any | c (= 2), d' },
  version: { parse: checkVersion, sound: ' 1:2.3~rc1+b-4 ' },
  list: { parse: parseList, sound: '/.\n/usr\n/usr/bin/a\n' },
  md5sums: { parse: parseMd5sums, sound: `${HASH}  usr/a\n${HASH}  ./b c\n` },
  diversions: { parse: (data) => parseDiversions(data, 'F'), sound: '/a\n/b\n:\n/c\n/d\np\n' },
  statoverride: { parse: parseStatoverride, sound: 'root #5 04755 /a b\nu g 0 /b\n' },
  triggersFile: { parse: (data) => parseTriggersFile(data, 'F'), sound: '/a p\n/b q:amd64/noawait\n' },
  explicitInterest: { parse: (data) => parseExplicitInterest(data, 'F'), sound: 'p\nq:amd64/noawait\n' },
  unincorp: { parse: (data) => parseUnincorp(data, 'F'), sound: '# c\nldconfig p q\n/usr/share/a -\n' },
  alternatives: {
    parse: (data) => parseAlternative(data, 'e'),
    sound: 'auto\n/bin/e\ns\n/m\n\n/ed\n-1\n/x\n/vi\n2\n\n\n',
  },
  configuration: {
    parse: parseDpkgConfig,
    sound: '# x\npath-exclude=/a/*\npath-include = "/a/[b-d]"\nno-debsig\n',
  },
  temporaryNames: { parse: temporaryName, sound: '/etc/a.dpkg-new' },
  fnmatch: { parse: (data) => fnmatch(data)(data), sound: '/a/*[!b-d[:alpha:]]?\\*' },
  tar: {
    parse: (data) => {
      const parser = new TarParser();
      parser.push(bufferOf(data));
      return parser.entries;
    },
    sound: `${'usr/a'.padEnd(100, '\0')}0000644\x000000000\x000000000\x0000000000003\x00`
      .padEnd(156, '0')
      .padEnd(512, '\0')
      .concat('abc'.padEnd(512, '\0'), '\0'.repeat(1024)),
  },
};

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map(bytesOf);
/** What damages are made of. */
const garbage = fc.oneof(
  bytes(40),
  fc.nat(5000).map((length) => '\0'.repeat(length)),
  fc.nat(3000).map((length) => 'x'.repeat(length)),
  fc.constantFrom(
    '\x1a',
    '\r\n',
    '\n\n\n',
    ' ',
    '\xff',
    '\xa0',
    ':',
    '(',
    '[',
    '\\',
    '/',
    '\t',
    '\n ',
    'Package: ',
  ),
);
/** A sound file after one to four damages: something cut out, something put in, bits flipped, the end lost. */
const damaged = (sound: string) =>
  fc
    .record({
      edits: fc.array(
        fc.record({
          at: fc.nat(sound.length),
          removed: fc.oneof(fc.constant(0), fc.nat(200)),
          put: garbage,
          flip: fc.nat(255),
        }),
        { minLength: 1, maxLength: 4 },
      ),
      kept: fc.oneof({ weight: 3, arbitrary: fc.constant(Infinity) }, fc.nat(sound.length)),
      crlf: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
    })
    .map(({ edits, kept, crlf }) => {
      let data = crlf ? sound.replaceAll('\n', '\r\n') : sound;
      for (const { at, removed, put, flip } of edits) {
        const end = at + removed;
        data = data.slice(0, at) + put + data.slice(end);
        const flipped = String.fromCharCode((data.charCodeAt(at) || 0) ^ flip);
        data = data.slice(0, at) + flipped + data.slice(at + 1);
      }
      return data.slice(0, kept);
    });

describe.each(Object.entries(PARSERS))('I8: %s', (_, { parse, sound }) => {
  it('takes any bytes', () => {
    fc.assert(
      fc.property(bytes(3000), (data) => void parse(data)),
      { numRuns: 500 },
    );
  });

  it('takes any damage of a sound file', () => {
    fc.assert(
      fc.property(damaged(sound), (data) => void parse(data)),
      { numRuns: 2000 },
    );
  });

  // Everything that one parser or another could be slow at: sixteen times as long may take sixteen times as long.
  it.each([
    ['one byte', '\0'],
    ['letters', 'x'],
    ['newlines', '\n'],
    ['blanks', ' '],
    ['blank lines', ' \n'],
    ['lines', 'x\n'],
    ['^Z', '\x1a'],
    ['^Z in lines', 'x: \x1a'],
    ['fields', 'ab: c\n '],
    ['headers', 'Package: a\n'],
    ['headers that end too early', 'Package: a\nStatus:\n\n'],
    ['slashes', '/'],
    ['dots and slashes', './'],
    ['stars', '*a'],
    ['brackets', '[a'],
    ['classes', '[[:alpha:]'],
    ['commas', 'a, '],
    ['hashes', `${HASH}  a\n`],
    ['its own sound file', sound],
  ])('is linear in %s', (name, unit) => {
    // fnmatch is bounded by the product of both lengths, and here both grow
    const length = sound === PARSERS['fnmatch']?.sound ? 1000 : 60_000;
    const times = (size: number): number => {
      // A last line of another kind, which a search from every line would look for again and again.
      const data = `${unit.repeat(Math.ceil(size / unit.length))}\x1a\n`;
      let best = Infinity;
      for (let run = 0; run < 3; run += 1) {
        const start = performance.now();
        parse(data);
        best = Math.min(best, performance.now() - start);
      }
      return best;
    };
    times(length);
    const once = times(length);
    const sixteen = times(16 * length);
    // 16 where it is linear, 256 where it is quadratic. A second is little for that: of a million bytes it would take ten
    // and more, while memory for a million lines alone takes a slow machine a tenth of one.
    const factor = length === 1000 ? 400 : 80;
    expect(sixteen, `${name}: ${once} ms and ${sixteen} ms`).toBeLessThan(Math.max(1000, factor * once));
  });
});

describe('I8: a line of tens of megabytes', () => {
  // A regular expression overflows its stack at some millions of repetitions.
  it.each(['/', './', ' ', 'x', '1', '\t', '\0'])('of %j crashes nothing', (unit) => {
    const line = unit.repeat(20_000_000 / unit.length);
    const status = (field: string) => parseStatus(`Package: a\n${field}`, 'status');
    parseList(`${line}x\n`);
    parseMd5sums(`${HASH}  ${line}x\n`);
    parseStatoverride(`root root 0755 ${line}x\n#${line} root 1 /\nroot root ${line} /\n`);
    parseDiversions(`${line}\n`, 'F');
    parseTriggersFile(`${line}\n`, 'F');
    parseUnincorp(`${line}\n`, 'F');
    parseAlternative(`auto\n/a\n\n/b\n${line}\n\n`, 'e');
    parseDpkgConfig(`path-exclude=${line}x\n`);
    for (const value of [line, `a (= ${line}`, `a:${line}`]) checkRelations('Depends', value);
    for (const value of [line, `${line}:1`]) checkVersion(value);
    parseConffiles(`\n ${line} x`);
    for (const field of ['Package', 'Status', 'Triggers-Pending', 'Conffiles', 'Priority']) {
      status(`${field}: ${line}\n`);
    }
    status(`${line}\n`);
  });
});

describe('I8: what stands beside the damage is read', () => {
  it('every record of status but the damaged one', () => {
    const whole = fc.array(fc.integer({ min: 0, max: 1e6 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(whole, fc.nat(), damaged(stanza('x')), (ids, place, broken) => {
        const names = [...new Set(ids)].map((id) => `p${id}`);
        const stanzas = names.map(stanza);
        // The newline is what the record behind it begins with.
        stanzas.splice(place % (names.length + 1), 0, `${broken}\n`);
        const found = parseStatus(stanzas.join('\n'), 'status').packages.map(({ name }) => name);
        expect(found).toEqual(expect.arrayContaining(names));
      }),
      { numRuns: 1000 },
    );
  });

  it('every record of status behind NUL bytes over a page', () => {
    const text = Array.from({ length: 40 }, (_, i) => stanza(`p${i}`)).join('\n');
    fc.assert(
      fc.property(fc.nat(text.length), fc.integer({ min: 1, max: 2048 }), (from, length) => {
        const data =
          text.slice(0, from) + '\0'.repeat(Math.min(length, text.length - from)) + text.slice(from + length);
        const found = new Set(parseStatus(data, 'status').packages.map(({ name }) => name));
        for (let i = 0; i < 40; i += 1) {
          const start = text.indexOf(`Package: p${i}\n`);
          const end = start + stanza(`p${i}`).length;
          // The empty line behind a record is its end, and the newline before it the beginning of its first line.
          if (end < from || start > from + length) expect(found).toContain(`p${i}`);
        }
      }),
      { numRuns: 500 },
    );
  });

  const lines: readonly [string, (i: number) => string, (data: string) => unknown[]][] = [
    ['.list', (i) => `/p${i}`, (data) => parseList(data).paths],
    ['.md5sums', (i) => `${HASH}  p${i}`, (data) => [...parseMd5sums(data).hashes.keys()]],
    [
      'statoverride',
      (i) => `u g 0 /p${i}`,
      (data) => parseStatoverride(data).overrides.map(({ path }) => path),
    ],
    [
      'triggers/File',
      (i) => `/p${i} q`,
      (data) => parseTriggersFile(data, 'F').triggers.map(({ path }) => path),
    ],
    [
      'Unincorp',
      (i) => `/p${i} q`,
      (data) => parseUnincorp(data, 'F').activations.map(({ trigger }) => trigger),
    ],
  ];
  it.each(lines)('every whole line of a %s', (_, line, read) => {
    fc.assert(
      fc.property(fc.nat(9), bytes(200), (at, junk) => {
        const text = Array.from({ length: 10 }, (_unused, i) => (i === at ? `${line(i)}${junk}` : line(i)));
        const found = read(`${text.join('\n')}\n`);
        for (let i = 0; i < 10; i += 1) if (i !== at) expect(found).toContain(`/p${i}`);
      }),
      { numRuns: 500 },
    );
  });
});

describe('names are bytes', () => {
  it('through byte strings and buffers', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (data) => {
        expect(bufferOf(bytesOf(data)).equals(data)).toBe(true);
        const path = fsPath(bytesOf(data));
        expect(Buffer.from(path as string).equals(data)).toBe(true);
      }),
    );
  });

  it('through a view into a larger buffer', () => {
    const buffer = new Uint8Array([1, 2, 0xe9, 4]);
    expect(bytesOf(buffer.subarray(1, 3))).toBe('\x02\xe9');
  });

  it('through the text of a report and JSON', () => {
    const path = fc
      .oneof(bytes(100), fc.string({ unit: 'binary' }).map(bytesFromText))
      .map((name) => `/${name}`);
    fc.assert(
      fc.property(path, (name) => {
        const text = pathToText(name);
        expect(textToPath(text)).toBe(name);
        expect(textToPath(JSON.parse(JSON.stringify({ text })).text)).toBe(name);
        // and as UTF-8, which is what is written
        expect(textToPath(Buffer.from(Buffer.from(text)).toString())).toBe(name);
      }),
      { numRuns: 2000 },
    );
  });

  it('and no two of them are the same text', () => {
    fc.assert(
      fc.property(bytes(4), bytes(4), (a, b) => {
        expect(pathToText(`/${a}`) === pathToText(`/${b}`)).toBe(a === b);
      }),
      { numRuns: 2000 },
    );
  });

  it('for a terminal hold no control character', () => {
    fc.assert(
      fc.property(bytes(60), (name) => {
        expect(pathForTerminal(pathToText(`/${name}`))).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
      }),
      { numRuns: 2000 },
    );
  });
});
