import { describe, expect, it } from 'vitest';
import { planReading } from '../../src/scan/order.ts';
import { Kind, Want, type Work, WorkList } from '../../src/scan/work.ts';

interface File {
  readonly ino: number;
  readonly dev?: number;
  readonly size?: number;
  readonly linked?: boolean;
}

/** A list of work that was looked at, with these inodes. */
function lookedAt(files: readonly File[]): Work {
  const list = new WorkList();
  files.forEach((_, i) => {
    list.add(`/f${i}`, Want.content);
  });
  const work = list.layOut();
  files.forEach((file, i) => {
    work.kind[i] = Kind.file;
    work.ino[i] = file.ino;
    work.dev[i] = file.dev ?? 1;
    work.size[i] = file.size ?? 1;
    work.linked[i] = file.linked ? 1 : 0;
  });
  return work;
}

function orderOf(files: readonly File[]): number[] {
  const work = lookedAt(files);
  return [...work.order.subarray(0, planReading(work).count)];
}

describe('the order of reading', () => {
  it('is by inode on one device', () => {
    expect(orderOf([{ ino: 30 }, { ino: 10 }, { ino: 20 }])).toEqual([1, 2, 0]);
  });

  it('is by device first where there are several', () => {
    expect(orderOf([{ ino: 1, dev: 2 }, { ino: 9 }, { ino: 3 }])).toEqual([2, 1, 0]);
  });

  it('has large files first, the largest before the others', () => {
    const MB = 1024 * 1024;
    expect(orderOf([{ ino: 1 }, { ino: 2, size: 5 * MB }, { ino: 3 }, { ino: 4, size: 9 * MB }])).toEqual([
      3, 1, 0, 2,
    ]);
  });

  it('names an inode with several names once', () => {
    expect(orderOf([{ ino: 7, linked: true }, { ino: 5 }, { ino: 7, linked: true }])).toEqual([1, 0]);
  });

  it('never takes two inodes for one because their numbers are too large for a double', () => {
    const ino = 2 ** 62;
    expect(orderOf([{ ino }, { ino }, { ino: 3 }])).toEqual([2, 0, 1]);
  });

  it('leaves out what is no file and what is not wanted', () => {
    const work = lookedAt([{ ino: 1 }, { ino: 2 }, { ino: 3 }]);
    work.kind[0] = Kind.directory;
    work.want[1] = Want.names;
    expect([...work.order.subarray(0, planReading(work).count)]).toEqual([2]);
  });

  it('counts the bytes to be read', () => {
    expect(
      planReading(
        lookedAt([
          { ino: 1, size: 10 },
          { ino: 2, size: 20 },
        ]),
      ).bytes,
    ).toBe(30);
  });
});
