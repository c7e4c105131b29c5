/** What a redo reads of the notes of programs, in a tree that somebody prepared. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { EffectsInput } from '../../../src/recovery/redo/effect.ts';
import { recordsOf } from '../../../src/recovery/redo/records.ts';
import { Root } from '../../../src/system/root.ts';
import { scratch } from '../rig.ts';

const TYPES = ['auth', 'account', 'password', 'session', 'session-noninteractive'];

it('I7: of pam-auth-update’s files reads none outside the root, whatever a directory on the way is', () => {
  const outside = scratch();
  for (const type of TYPES) writeFileSync(join(outside, `common-${type}`), 'of another system\n');
  const root = scratch();
  mkdirSync(join(root, 'etc'));
  symlinkSync(outside, join(root, 'etc/pam.d'));
  const before = {
    runs: [],
    transaction: { startedAt: '2026-01-02T03:04:05Z' },
    below: () => [],
    find: (path: string) => ({ path, mode: 0o644, uid: 0, gid: 0, mtime: 0, capability: null }),
    contentOf: () => Buffer.from('as it was\n'),
  };
  const input = { root: new Root(root), before, crashed: true, laterSince: Number.POSITIVE_INFINITY };
  const effects = recordsOf(input as unknown as EffectsInput, {
    inScripts: (text) => text === 'pam-auth-update',
    mayHave: () => false,
  });
  // Taken for an administrator's, what lies outside would keep all of it as it is.
  expect(effects.map(({ action }) => action.kind)).toEqual(TYPES.map(() => 'put'));
});
