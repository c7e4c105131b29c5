import { createHash, hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { LANE_BYTES, LANES, type Md5Engine, Md5Lanes, OneByOne } from '../../src/scan/md5/lanes.ts';

/** Hashes messages, one a lane, in as many fillings as they need. */
function digests(engine: Md5Engine, messages: readonly Buffer[]): string[] {
  const at = messages.map(() => 0);
  const ended = messages.map(() => false);
  const found = messages.map(() => '');
  messages.forEach((_, lane) => {
    engine.begin(lane);
  });
  while (found.includes('')) {
    messages.forEach((message, lane) => {
      if (found[lane] !== '' || !engine.isDrained(lane)) return;
      if (ended[lane]) {
        const digest = Buffer.alloc(16);
        engine.digest(lane, digest, 0);
        found[lane] = digest.toString('hex');
        return;
      }
      const from = at[lane] ?? 0;
      const piece = message.subarray(from, from + LANE_BYTES);
      engine.memory.set(piece, engine.base(lane));
      at[lane] = from + piece.length;
      if (piece.length === LANE_BYTES) engine.fill(lane);
      else {
        ended[lane] = true;
        engine.fillLast(lane, piece.length, message.length);
      }
    });
    engine.advance();
  }
  return found;
}

const ENGINES = [
  ['eight lanes', () => new Md5Lanes()],
  ['OpenSSL', () => new OneByOne('md5')],
] as const;

describe.each(ENGINES)('MD5 by %s', (_, make) => {
  it('agrees with the test suite of RFC 1321, A.5', () => {
    const suite: [string, string][] = [
      ['', 'd41d8cd98f00b204e9800998ecf8427e'],
      ['a', '0cc175b9c0f1b6a831c399e269772661'],
      ['abc', '900150983cd24fb0d6963f7d28e17f72'],
      ['message digest', 'f96b697d7cb7938d525a2f31aaf161d0'],
      ['abcdefghijklmnopqrstuvwxyz', 'c3fcd3d76192e4007dfb496cca67e13b'],
      ['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 'd174ab98d277d9f5a5611c2c9f419d9f'],
      ['1234567890'.repeat(8), '57edf4a22be3c955ac49da2e2107b67a'],
    ];
    expect(
      digests(
        make(),
        suite.map(([text]) => Buffer.from(text)),
      ),
    ).toEqual(suite.map(([, md5]) => md5));
  });

  it('pads every length around a block and around a lane rightly', () => {
    const engine = make();
    const lengths = [
      ...Array.from({ length: 140 }, (_, i) => i),
      ...Array.from({ length: 140 }, (_, i) => LANE_BYTES - 70 + i),
      LANE_BYTES * 2 - 1,
      LANE_BYTES * 2,
      LANE_BYTES * 3 + 17,
    ];
    for (let i = 0; i < lengths.length; i += LANES) {
      const messages = lengths.slice(i, i + LANES).map((length) => Buffer.alloc(length, `${length}`));
      expect(digests(engine, messages)).toEqual(messages.map((message) => hash('md5', message)));
    }
  });

  it('keeps the lanes apart when some end much earlier than others', () => {
    const engine = make();
    const messages = [1, 1_000_000, 64, 0, 300_000, 55, 56, 5_000].map((length) => Buffer.alloc(length, 'x'));
    expect(digests(engine, messages)).toEqual(messages.map((message) => hash('md5', message)));
    // And again in the same memory, in another order.
    expect(digests(engine, messages.toReversed())).toEqual(
      messages.toReversed().map((message) => hash('md5', message)),
    );
  });
});

describe('the eight lanes', () => {
  it('counts the bits of a message beyond 512 MiB in 64 bits', () => {
    // 2^29 bytes are 2^32 bits: the low word of the length is then 0, and the high one 1.
    const pieces = 2 ** 29 / LANE_BYTES;
    const engine = new Md5Lanes();
    const openssl = createHash('md5');
    const piece = Buffer.alloc(LANE_BYTES, 7);
    engine.begin(0);
    engine.memory.set(piece, engine.base(0));
    for (let i = 0; i < pieces; i += 1) {
      openssl.update(piece);
      engine.fill(0);
      engine.advance();
    }
    engine.fillLast(0, 0, pieces * LANE_BYTES);
    engine.advance();
    const digest = Buffer.alloc(16);
    engine.digest(0, digest, 0);
    expect(digest.toString('hex')).toBe(openssl.digest('hex'));
  });

  it('does nothing when no lane has anything', () => {
    const engine = new Md5Lanes();
    engine.advance();
    expect(engine.isDrained(0)).toBe(true);
  });
});
