/** Findings from byte strings: the one place where the audit's paths and messages become report text. */
import type { FindingCode } from '../model/codes.ts';
import type { Finding, KnownBy } from '../model/finding.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { Severity } from '../model/severity.ts';
import type { Bytes } from '../system/bytes.ts';

export interface Draft {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly package?: Bytes | undefined;
  readonly version?: Bytes | undefined;
  readonly path?: Bytes | undefined;
  readonly divertedTo?: Bytes | undefined;
  readonly message: string;
  readonly knownBy: KnownBy;
  readonly likelyOutage: boolean;
  readonly reason: string;
  readonly dpkgMessage?: Bytes | undefined;
  readonly expected?: Bytes | undefined;
  readonly found?: Bytes | undefined;
  readonly device?: Bytes | undefined;
}

/** Fills in what is known and leaves out what is not, an empty version among it. */
export function finding(draft: Draft): Finding {
  const text = (bytes: Bytes | undefined): string | undefined => (bytes ? bytesToText(bytes) : undefined);
  const optional = {
    package: text(draft.package),
    version: text(draft.version),
    path: draft.path === undefined ? undefined : pathToText(draft.path),
    divertedTo: draft.divertedTo === undefined ? undefined : pathToText(draft.divertedTo),
    dpkgMessage: text(draft.dpkgMessage),
    expected: text(draft.expected),
    found: text(draft.found),
    device: text(draft.device),
  };
  const present = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  return {
    code: draft.code,
    severity: draft.severity,
    ...present,
    message: bytesToText(draft.message),
    knownBy: draft.knownBy,
    likelyOutage: draft.likelyOutage,
    reason: draft.reason,
  };
}
