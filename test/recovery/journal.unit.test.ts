/** A run's journal: what is whole in it is read, and what is not is known for it. */
import { appendFileSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { settleRun, unfinishedRuns } from '../../src/recovery/actions.ts';
import { isRunId, Journal, readJournal, runDirectory, runIds } from '../../src/recovery/journal.ts';
import { Root } from '../../src/system/root.ts';
import { scratch } from './rig.ts';

const NOW = new Date('2026-11-24T07:58:00.123Z');

function written(...texts: string[]) {
  const store = { directory: scratch() };
  const journal = Journal.create(store, NOW);
  for (const text of texts) journal.append({ kind: 'note', text });
  journal.close();
  return { store, id: journal.id, file: join(journal.directory, 'journal') };
}

const notes = (store: { directory: string }, id: string) =>
  readJournal(store, id).records.map((record) => (record.kind === 'note' ? record.text : record.kind));

it('gives back what was written, in order and numbered', () => {
  const { store, id, file } = written('one', 'two — “ü”', 'three\nlines');
  expect(id).toBe('20261124T075800Z');
  expect(notes(store, id)).toEqual(['one', 'two — “ü”', 'three\nlines']);
  expect(readJournal(store, id).records.map(({ n }) => n)).toEqual([0, 1, 2]);
  expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(3);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(runDirectory(store, id)).mode & 0o777).toBe(0o700);
});

it('makes a new name for a second run in the same second, and sorts them by age', () => {
  const store = { directory: scratch() };
  const ids = Array.from({ length: 11 }, () => {
    const journal = Journal.create(store, NOW);
    journal.close();
    return journal.id;
  });
  expect(ids.slice(0, 2)).toEqual(['20261124T075800Z', '20261124T075800Z-2']);
  expect(runIds(store)).toEqual(ids);
});

it('passes over a last line at whatever byte a cut tore it, and goes on after it', () => {
  const { store, id, file } = written('one', 'two');
  const whole = readFileSync(file);
  const second = whole.indexOf('\n') + 1;
  for (let length = second; length < whole.length - 1; length += 1) {
    writeFileSync(file, whole.subarray(0, length));
    expect(notes(store, id)).toEqual(['one']);
    const { journal, content } = Journal.open(store, id);
    expect(content.damage).toBeUndefined();
    journal.append({ kind: 'note', text: 'again' });
    journal.close();
    // What was there is there still, to the byte.
    expect(readFileSync(file).subarray(0, length).equals(whole.subarray(0, length))).toBe(true);
    expect(notes(store, id)).toEqual(['one', 'again']);
    expect(readJournal(store, id).damage).toBeUndefined();
  }
});

it('passes over NUL bytes that a crash left at its end, and goes on after them', () => {
  const { store, id, file } = written('one');
  appendFileSync(file, Buffer.alloc(4096));
  expect(notes(store, id)).toEqual(['one']);
  const { journal } = Journal.open(store, id);
  journal.append({ kind: 'note', text: 'again' });
  journal.close();
  expect(readJournal(store, id)).toMatchObject({ damage: undefined });
  expect(notes(store, id)).toEqual(['one', 'again']);
});

it('I8: says that a line in the middle was changed or is gone, and reads the others', () => {
  const { store, id, file } = written('one', 'two', 'three');
  const whole = readFileSync(file, 'utf8');
  writeFileSync(file, whole.replace('"two"', '"TWO"'));
  expect(notes(store, id)).toEqual(['one', 'three']);
  expect(readJournal(store, id).damage).toBe('record 1 is missing before record 2');
  writeFileSync(file, whole.slice(whole.indexOf('\n') + 1));
  expect(readJournal(store, id).damage).toBe('record 0 is missing before record 1');
});

it('I8: takes an empty file, a missing one and another kind of file for what they are', () => {
  const { store, id, file } = written('one');
  truncateSync(file);
  expect(readJournal(store, id)).toEqual({ records: [], damage: undefined });
  const other = '20261124T080000Z';
  mkdirSync(runDirectory(store, other), { recursive: true });
  expect(readJournal(store, other)).toEqual({ records: [], damage: undefined });
  mkdirSync(join(runDirectory(store, other), 'journal'));
  expect(() => readJournal(store, other)).toThrow(expect.objectContaining({ code: 'action-failed' }));
});

it('knows no run by a name that leads elsewhere', () => {
  const { store } = written();
  for (const id of ['../runs', '..', '', '20261124T075800Z/../x', '20261124T075801Z']) {
    expect(() => readJournal(store, id)).toThrow(expect.objectContaining({ code: 'unknown-run' }));
  }
  expect(isRunId('20261124T075800Z-12')).toBe(true);
});

it('goes on in a run that was cut before its journal was begun', () => {
  const store = { directory: scratch() };
  const id = '20261124T080000Z';
  mkdirSync(runDirectory(store, id), { recursive: true });
  expect(unfinishedRuns(store)).toEqual([id]);
  settleRun(store, new Root(store.directory), id);
  expect(unfinishedRuns(store)).toEqual([]);
  expect(readJournal(store, id).records).toMatchObject([{ kind: 'end', outcome: 'interrupted' }]);
});
