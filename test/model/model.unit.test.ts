import { describe, expect, it } from 'vitest';
import { FINDING_CODES } from '../../src/model/codes.ts';
import { compareSeverity, SEVERITIES } from '../../src/model/severity.ts';

describe('severities', () => {
  it('go from what needs no hand to what keeps the system from working', () => {
    expect(SEVERITIES).toEqual(['info', 'warning', 'error', 'critical']);
    expect(
      ['critical', 'info', 'error', 'warning'].sort((a, b) => compareSeverity(severity(a), severity(b))),
    ).toEqual([...SEVERITIES]);
  });
});

describe('codes', () => {
  it('are words by hyphens that begin with what they are about', () => {
    for (const code of Object.keys(FINDING_CODES)) {
      expect(code).toMatch(
        /^(?:file|conffile|leftover|package|database|apt|generated|boot|filesystem|fsck|scrub|store|transaction)(?:-[a-z0-9]+)+$/,
      );
    }
  });

  it('are each said in one sentence without a full stop', () => {
    const texts = Object.values(FINDING_CODES);
    for (const text of texts) expect(text).toMatch(/^[^\n]*[^.\n]$/);
    expect(new Set(texts).size).toBe(texts.length);
  });
});

function severity(name: string) {
  const found = SEVERITIES.find((known) => known === name);
  if (found === undefined) throw new Error(name);
  return found;
}
