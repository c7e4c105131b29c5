import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  INVENTORY_SCHEMA_FILE,
  inventorySchemaText,
  OUTAGE_SCHEMA_FILE,
  outageSchemaText,
  REPORT_SCHEMA_FILE,
  reportSchemaText,
} from '../../scripts/schemas.ts';
import { audit } from '../../src/audit/audit.ts';
import { FINDING_CODES } from '../../src/model/codes.ts';
import { type Report, reportSchema } from '../../src/model/report.ts';
import { auditReport } from '../../src/report/document.ts';
import { Root } from '../../src/system/root.ts';
import { type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';
import { schemaMistakes } from './report-schema.ts';

describe('schemas/report.schema.json', () => {
  it('is what the types say (npm run schemas writes it)', () => {
    expect(readFileSync(REPORT_SCHEMA_FILE, 'utf8')).toBe(reportSchemaText());
  });

  it('has sisters for what the other commands print', () => {
    expect(readFileSync(INVENTORY_SCHEMA_FILE, 'utf8')).toBe(inventorySchemaText());
    expect(readFileSync(OUTAGE_SCHEMA_FILE, 'utf8')).toBe(outageSchemaText());
  });

  it('names every code', () => {
    const schema: unknown = JSON.parse(readFileSync(REPORT_SCHEMA_FILE, 'utf8'));
    expect(schema).toHaveProperty('$defs.Finding.properties.code.enum', Object.keys(FINDING_CODES));
  });

  it('has no address of any host in it beside the dialect’s own', () => {
    const { $schema, ...rest } = JSON.parse(readFileSync(REPORT_SCHEMA_FILE, 'utf8'));
    expect($schema).toBe('https://json-schema.org/draft/2020-12/schema');
    expect(JSON.stringify(rest)).not.toMatch(/https?:/);
  });
});

describe('a report of a real run', () => {
  let root: TinyRoot;
  let report: Report;

  beforeAll(async () => {
    root = tinyRoot();
    root.write('/usr/bin/hello', '');
    const result = await audit({
      root: new Root(root.directory),
      scope: { packages: [], paths: [] },
      quick: false,
      archives: [],
      leftoverGlobs: [],
      ignoreLock: true,
    });
    report = auditReport(result, {
      root: new Root(root.directory),
      scope: { quick: false, packages: [], paths: [], archives: [] },
      startedAt: new Date(),
      seconds: 0.25,
    });
  });
  afterAll(() => root.remove());

  /** The schema and the types it is made from have to agree about every document. */
  const verdictsOn = (document: unknown) => ({
    schema: schemaMistakes(document).length === 0,
    types: reportSchema.safeParse(document).success,
  });
  const valid = { schema: true, types: true };
  const invalid = { schema: false, types: false };
  const withFinding = (change: Record<string, unknown>) => ({
    ...report,
    findings: [{ ...report.findings[0], ...change }],
  });

  it('is valid, before and after JSON', () => {
    expect(report.findings.map(({ code }) => code)).toEqual(['file-zero-length']);
    expect(schemaMistakes(report)).toEqual([]);
    expect(verdictsOn(JSON.parse(JSON.stringify(report)))).toEqual(valid);
  });

  it('is not valid with a code that nobody knows', () => {
    expect(verdictsOn(withFinding({ code: 'file-on-fire' }))).toEqual(invalid);
  });

  it('is not valid with a severity that nobody knows', () => {
    expect(verdictsOn(withFinding({ severity: 'fatal' }))).toEqual(invalid);
  });

  it('is not valid with a property that is not in the schema, at the top or in a finding', () => {
    expect(verdictsOn({ ...report, extra: 1 })).toEqual(invalid);
    expect(verdictsOn({ ...report, host: { ...report.host, extra: 1 } })).toEqual(invalid);
    expect(verdictsOn(withFinding({ extra: 1 }))).toEqual(invalid);
  });

  it('is not valid without a part that every report has', () => {
    const { summary: _, ...rest } = report;
    expect(verdictsOn(rest)).toEqual(invalid);
  });

  it('is not valid in another schema version', () => {
    expect(verdictsOn({ ...report, schemaVersion: 2 })).toEqual(invalid);
  });

  it('is not valid with a time that is none, or a count that is negative', () => {
    expect(verdictsOn({ ...report, summary: { ...report.summary, startedAt: 'yesterday' } })).toEqual(
      invalid,
    );
    expect(verdictsOn({ ...report, summary: { ...report.summary, files: -1 } })).toEqual(invalid);
  });
});
