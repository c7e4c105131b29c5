/** `debmend quarantine` and `debmend undo`, as a person calls them. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { inventorySchema } from '../../src/model/inventory.ts';
import { Run } from '../../src/recovery/actions.ts';
import { holdLocks } from '../../src/system/hold-locks.ts';
import { debmend } from '../cli/debmend.ts';
import { rootTest } from '../lab/roots.ts';
import { census, type Scene, scene, why } from './rig.ts';

const STORE = ['/var/lib/debmend'];

/** A tree with a run in it: one thing quarantined, one replaced, one new. */
function recovered(): { at: Scene; id: string; before: Map<string, string> } {
  const at = scene();
  mkdirSync(at.at('/etc'));
  writeFileSync(at.at('/etc/new\nline.dpkg-new'), 'partial');
  writeFileSync(at.at('/etc/zeroed'), '');
  const before = census(at.directory, STORE);
  const run = Run.begin(at.store, at.root, {
    command: ['recover', '--apply'],
    policy: { partialFiles: 'quarantine' },
  });
  const attributes = { mode: 0o644, uid: 0, gid: 0 };
  run.perform(
    { kind: 'quarantine', path: '/etc/new\nline.dpkg-new' },
    { reason: 'an unpacking that did not finish', package: 'tiny', finding: 'leftover-partial' },
  );
  run.perform(
    { kind: 'put', path: '/etc/zeroed', data: Buffer.from('good'), attributes },
    { reason: 'it was empty', finding: 'file-zero-length', source: 'snapshot 12' },
  );
  run.perform({ kind: 'put', path: '/etc/fresh', data: Buffer.from('fresh'), attributes }, why);
  run.program({ program: 'dpkg', args: ['--configure', '-a'], why }).done({ code: 0, output: 'done\n' });
  run.note('a note');
  run.end('mended');
  return { at, id: run.id, before };
}

const call = (at: Scene, ...args: string[]) => debmend([...args, '--root', at.directory]);
const json = (at: Scene, ...args: string[]) => {
  const { code, stdout, stderr } = call(at, ...args, '--json');
  expect(stderr).toBe('');
  return { code, document: inventorySchema.parse(JSON.parse(stdout)) };
};

it('lists and shows what was moved aside, and why', () => {
  const { at, id } = recovered();
  const list = call(at, 'quarantine', 'list');
  expect(list).toMatchObject({ code: 0, stderr: '' });
  expect(list.stdout).toContain(`${id}/1`);
  expect(list.stdout).toContain("$'/etc/new\\x0aline.dpkg-new'");
  expect(list.stdout.trimEnd().split('\n')).toHaveLength(3);
  const { document } = json(at, 'quarantine', 'list');
  expect(document.quarantine?.items).toMatchObject([
    { id: `${id}/1`, run: id, path: '/etc/new\nline.dpkg-new', thing: { type: 'file', size: 7 } },
    { id: `${id}/2`, path: '/etc/zeroed', why: { finding: 'file-zero-length', source: 'snapshot 12' } },
  ]);
  const show = call(at, 'quarantine', 'show', `${id}/2`);
  expect(show.stdout).toContain('why: it was empty');
  expect(show.stdout).toContain(`is now ${at.directory}/var/lib/debmend/quarantine/${id}/2`);
  for (const wrong of [`${id}/3`, `${id}/9`, '../x', ''])
    expect(call(at, 'quarantine', 'show', wrong)).toMatchObject({ code: 2, stdout: '' });
});

it('I1: restores to where it stood, and never over what stands there', () => {
  const { at, id } = recovered();
  const refused = call(at, 'quarantine', 'restore', `${id}/2`);
  expect(refused).toMatchObject({ code: 3, stdout: '' });
  expect(refused.stderr).toContain('something else stands there [action-refused]');
  expect(readFileSync(at.at('/etc/zeroed'), 'utf8')).toBe('good');
  rmSync(at.at('/etc/zeroed'));
  expect(call(at, 'quarantine', 'restore', `${id}/2`)).toMatchObject({
    code: 0,
    stdout: `${id}/2 stands at /etc/zeroed again\n`,
  });
  expect(readFileSync(at.at('/etc/zeroed'), 'utf8')).toBe('');
  expect(json(at, 'quarantine', 'list').document.quarantine?.items.map((item) => item.id)).toEqual([
    `${id}/1`,
  ]);
  expect(call(at, 'quarantine', 'restore', `${id}/2`).code).toBe(2);
});

it('I1: purges only when it is told twice, only what is old enough, and only what is named', () => {
  const { at, id } = recovered();
  const dry = call(at, 'quarantine', 'purge');
  expect(dry.stdout).toContain('nothing was deleted; --yes deletes 2 items for good');
  expect(json(at, 'quarantine', 'purge').document.quarantine?.wouldPurge).toEqual([`${id}/1`, `${id}/2`]);
  expect(call(at, 'quarantine', 'purge', '--older-than', '1', '--yes').stdout).toBe('purged 0 items\n');
  expect(call(at, 'quarantine', 'purge', '20200101T000000Z', '--yes').code).toBe(2);
  expect(call(at, 'quarantine', 'purge', `${id}/1`, '--yes').stdout).toBe('purged 1 item\n');
  expect(json(at, 'quarantine', 'list').document.quarantine?.items.map((item) => item.id)).toEqual([
    `${id}/2`,
  ]);
  expect(call(at, 'quarantine', 'purge', id, '--older-than', '0', '--yes').stdout).toBe('purged 1 item\n');
  expect(call(at, 'quarantine', 'list').stdout).toBe('the quarantine is empty\n');
  // What is gone can't come back, and an undo says so and does the rest.
  const undo = json(at, 'undo', id, '--apply');
  expect(undo.code).toBe(1);
  expect(undo.document.undo?.actions.map(({ outcome }) => outcome)).toEqual([
    'undone',
    'impossible',
    'impossible',
  ]);
  expect(readFileSync(at.at('/etc/zeroed'), 'utf8')).toBe('good');
  expect(existsSync(at.at('/etc/fresh'))).toBe(false);
});

it('undoes a run when it is told to, and says before what it would do and what it cannot', () => {
  const { at, id, before } = recovered();
  const after = census(at.directory);
  const dry = call(at, 'undo', id);
  expect(dry).toMatchObject({ code: 0, stderr: '' });
  expect(dry.stdout.match(/^would undo {2}/gm)).toHaveLength(3);
  expect(dry.stdout).toContain('  dpkg --configure -a\n');
  expect(dry.stdout).toContain(`'debmend undo ${id} --apply' does it`);
  expect(census(at.directory)).toEqual(after);
  const { code, document } = json(at, 'undo', id, '--apply');
  expect(code).toBe(0);
  expect(document.undo).toMatchObject({ run: id, applied: true, programs: ['dpkg --configure -a'] });
  expect(census(at.directory, STORE)).toEqual(before);
  expect(call(at, 'undo', id, '--apply').stdout.match(/^undone before {2}/gm)).toHaveLength(3);
  expect(call(at, 'undo', '20200101T000000Z')).toMatchObject({ code: 2, stdout: '' });
});

it('I8: an undo refuses a journal with lost lines, and the quarantine still gives things back', () => {
  const { at, id } = recovered();
  const file = join(at.store.directory, 'runs', id, 'journal');
  const lines = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, [...lines.slice(0, 3), ...lines.slice(4)].join('\n'));
  const undo = call(at, 'undo', id, '--apply');
  expect(undo.code).toBe(3);
  expect(undo.stderr).toContain('its journal is damaged: record 3 is missing before record 4');
  expect(call(at, 'quarantine', 'restore', `${id}/1`).code).toBe(0);
  rmSync(file);
  const lost = json(at, 'quarantine', 'list').document.quarantine?.items;
  expect(lost).toMatchObject([{ id: `${id}/2`, thing: { type: 'file' } }]);
  expect(lost?.[0]?.path).toBeUndefined();
  expect(call(at, 'quarantine', 'list').stdout).toContain('not known: its journal is lost');
  expect(call(at, 'quarantine', 'restore', `${id}/2`).stderr).toContain(
    'the journal that says where it stood is lost',
  );
});

rootTest('I5: while someone else holds dpkg’s locks nothing is undone or restored', async () => {
  const { at, id } = recovered();
  const admindir = join(at.directory, 'var/lib/dpkg');
  mkdirSync(admindir);
  for (const name of ['lock', 'lock-frontend']) writeFileSync(join(admindir, name), '');
  rmSync(at.at('/etc/zeroed'));
  const after = census(at.directory);
  const locks = await holdLocks(admindir, 0);
  try {
    expect(call(at, 'undo', id, '--apply').code).toBe(4);
    expect(call(at, 'quarantine', 'restore', `${id}/2`).code).toBe(4);
    expect(census(at.directory)).toEqual(after);
    expect(call(at, 'undo', id).code).toBe(1);
  } finally {
    locks.release();
  }
  expect(call(at, 'quarantine', 'restore', `${id}/2`).code).toBe(0);
});

rootTest('a store elsewhere, for a root whose own cannot be written', () => {
  const { at, id, before } = recovered();
  const store = join(at.directory, '../store');
  execFileSync('mv', [at.store.directory, store]);
  const { code, stderr } = call(at, 'undo', id, '--apply', '--store', store);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(census(at.directory, STORE)).toEqual(before);
});
