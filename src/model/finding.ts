/** One thing that is wrong. The schema is the report's; everything else uses the type derived from it. */
import { z } from 'zod';
import { FINDING_CODES, type FindingCode } from './codes.ts';
import { SEVERITIES } from './severity.ts';

const codes = Object.keys(FINDING_CODES) as [FindingCode, ...FindingCode[]];

export const KNOWN_BY = [
  'md5sums',
  'conffile-hash',
  'list',
  'status',
  'updates',
  'info',
  'archive',
  'alternatives',
  'diversions',
  'statoverride',
  'triggers',
  'file-name',
  'file-system',
  'configuration',
  'apt',
  'store',
  'generator',
  'boot',
  'superblock',
  'device-stats',
  'kernel-log',
  'fsck',
  'mount-table',
] as const;

const pathText = z
  .string()
  .describe(
    'a path inside the root; bytes that are not UTF-8 make it a percent-escaped file: URI (RFC 8089)',
  );

export const findingSchema = z
  .strictObject({
    code: z.enum(codes).describe('what is wrong; codes are stable'),
    severity: z.enum(SEVERITIES),
    package: z.string().optional().describe('the package concerned, as dpkg writes it (name, or name:arch)'),
    version: z.string().optional().describe('the version that dpkg records for that package'),
    path: pathText.optional(),
    divertedTo: pathText
      .optional()
      .describe('where a diversion put what the package calls by that path; the finding is about this place'),
    message: z.string().describe('one sentence for a person'),
    knownBy: z.enum(KNOWN_BY).describe('the source that the file or state was held against'),
    likelyOutage: z.boolean().describe('whether this looks like the work of a power cut'),
    reason: z.string().describe('why likelyOutage is what it is'),
    dpkgMessage: z
      .string()
      .optional()
      .describe('what dpkg itself says about this damage, where it says something'),
    expected: z.string().optional().describe('what the source says should be there'),
    found: z.string().optional().describe('what is there'),
    device: z.string().optional().describe('the device that failed, for an I/O error'),
  })
  .meta({ id: 'Finding' });

export type Finding = z.infer<typeof findingSchema>;
export type KnownBy = (typeof KNOWN_BY)[number];
