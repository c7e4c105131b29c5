/**
 * Writes schemas/*.schema.json, for programs that read what debmend prints: JSON Schema 2020-12, derived from the same
 * zod types that the documents are made of. test/report/schema.unit.test.ts fails while the file is out of date.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { inventorySchema } from '../src/model/inventory.ts';
import { outageReportSchema } from '../src/model/outage.ts';
import { reportSchema } from '../src/model/report.ts';
import { SCHEMA_VERSION } from '../src/model/schema-version.ts';

export const REPORT_SCHEMA_FILE = join(import.meta.dirname, '../schemas/report.schema.json');
export const INVENTORY_SCHEMA_FILE = join(import.meta.dirname, '../schemas/inventory.schema.json');
export const OUTAGE_SCHEMA_FILE = join(import.meta.dirname, '../schemas/outage.schema.json');

/** The text of the file; the same types give the same text. */
export function reportSchemaText(): string {
  return schemaText(reportSchema, 'report', 'What one run of debmend found');
}

export function inventorySchemaText(): string {
  return schemaText(inventorySchema, 'inventory', 'What debmend knows of snapshots, transactions and hooks');
}

export function outageSchemaText(): string {
  return schemaText(outageReportSchema, 'outage', 'Whether there was an outage, when, and why');
}

function schemaText(type: z.ZodType, name: string, what: string): string {
  const { $schema, ...rest } = z.toJSONSchema(type, { target: 'draft-2020-12' });
  const schema = {
    $schema,
    // A name and no address: there is nothing to fetch, and nobody's host has to live as long as the reports do.
    $id: `urn:debmend:${name}:${SCHEMA_VERSION}`,
    title: `debmend ${name}`,
    description: `${what}, schemaVersion ${SCHEMA_VERSION}. A part that a command did not look at is absent, never empty.`,
    ...rest,
  };
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

if (import.meta.main) {
  writeFileSync(REPORT_SCHEMA_FILE, reportSchemaText());
  writeFileSync(INVENTORY_SCHEMA_FILE, inventorySchemaText());
  writeFileSync(OUTAGE_SCHEMA_FILE, outageSchemaText());
}
