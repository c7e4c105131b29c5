import { describe, expect, it } from 'vitest';
import { accountsOf, namesThatDiffer } from '../../../src/recovery/redo/half-accounts.ts';

const WHOLE = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nlab:x:998:997::/var/lib/lab:/bin/false\n',
  '/etc/shadow': 'root:*:19000:0:99999:7:::\nlab:!:19000::::::\n',
  '/etc/group': 'root:x:0:\nlab:x:997:\nssl:x:110:\n',
  '/etc/gshadow': 'root:*::\nlab:!::\nssl:!::\n',
} as const;
type Texts = Partial<Record<keyof typeof WHOLE, string>>;

const without = (...files: (keyof typeof WHOLE)[]): Texts => ({
  ...WHOLE,
  ...Object.fromEntries(files.map((file) => [file, WHOLE[file].replace(/^lab:.*\n/m, '')])),
});
const ALL = Object.keys(WHOLE) as (keyof typeof WHOLE)[];
const halves = (now: Texts, then: Texts, isOurs: (name: string, id: number) => boolean = () => true) =>
  [...namesThatDiffer(accountsOf(now), accountsOf(then), isOurs)].sort();

describe('an account', () => {
  it('is whole, or not there, and then stays as it is', () => {
    expect(halves(WHOLE, without(...ALL))).toEqual([]);
    expect(halves(without(...ALL), WHOLE)).toEqual([]);
    expect(halves(WHOLE, WHOLE)).toEqual([]);
  });

  it('is half-made, or half taken away, when any of its files has not come as far as the others', () => {
    for (let mask = 1; mask < 2 ** ALL.length - 1; mask += 1) {
      const missing = ALL.filter((_, at) => (mask & (1 << at)) !== 0);
      // A group of its own without a user is what addgroup makes.
      const isGroupOnly = missing.join() === '/etc/passwd,/etc/shadow';
      expect(halves(without(...missing), without(...ALL)), missing.join()).toEqual(
        isGroupOnly ? [] : ['lab'],
      );
      expect(halves(without(...missing), WHOLE), missing.join()).toEqual(isGroupOnly ? [] : ['lab']);
    }
  });

  it('has the same members in group and gshadow', () => {
    const joined: Texts = {
      ...WHOLE,
      '/etc/group': WHOLE['/etc/group'].replace('ssl:x:110:', 'ssl:x:110:lab'),
    };
    expect(halves(joined, WHOLE)).toEqual(['ssl']);
    const both: Texts = { ...joined, '/etc/gshadow': WHOLE['/etc/gshadow'].replace('ssl:!::', 'ssl:!::lab') };
    expect(halves(both, WHOLE)).toEqual([]);
    // A system that was like that before is somebody's.
    expect(halves(WHOLE, joined)).toEqual([]);
    expect(halves(joined, joined)).toEqual([]);
  });

  it('needs no shadow files where there are none', () => {
    const none: Texts = { '/etc/passwd': WHOLE['/etc/passwd'], '/etc/group': WHOLE['/etc/group'] };
    expect(halves(none, {})).toEqual([]);
  });

  it('is left as it is when it is a person’s (I3)', () => {
    const ids: number[] = [];
    const isOurs = (_: string, id: number): boolean => {
      ids.push(id);
      return false;
    };
    expect(halves(without('/etc/gshadow'), without(...ALL), isOurs)).toEqual([]);
    expect(ids).toEqual([997]);
  });
});
