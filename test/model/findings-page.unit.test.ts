import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FINDINGS_PAGE, findingsPage } from '../../scripts/findings.ts';
import { FINDING_CODES } from '../../src/model/codes.ts';

describe('docs/findings.md', () => {
  it('is what the codes say (npm run schemas writes it)', () => {
    expect(readFileSync(FINDINGS_PAGE, 'utf8')).toBe(findingsPage());
  });

  it('names every code once', () => {
    const named = [...findingsPage().matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map((match) => match[1]);
    expect(named.toSorted()).toEqual(Object.keys(FINDING_CODES).toSorted());
  });
});
