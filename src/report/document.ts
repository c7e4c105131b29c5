/** The report of a run, from what the audit found and where it ran. Every rendering is made from this document. */
import { hostname, release } from 'node:os';
import type { AuditResult } from '../audit/audit.ts';
import type { Outage } from '../model/outage.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { Host, Report, Summary } from '../model/report.ts';
import type { RequestedCheck } from '../model/requested-check.ts';
import { SCHEMA_VERSION } from '../model/schema-version.ts';
import type { RecoverResult } from '../recovery/recover.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { toolVersion } from '../system/tool.ts';
import { checkStep } from './checks.ts';

/** Unchecked paths that are named in a report; their number is always told. */
const MAX_UNCHECKED = 1000;

export interface RunFacts {
  readonly root: Root;
  readonly scope: Summary['scope'];
  readonly startedAt: Date;
  readonly seconds: number;
}

export function auditReport(result: AuditResult, run: RunFacts): Report {
  return {
    schemaVersion: SCHEMA_VERSION,
    tool: { name: 'debmend', version: toolVersion() },
    host: describeHost(run.root, result),
    summary: summarise(result, run),
    ...(result.transaction === undefined ? {} : { transaction: result.transaction }),
    findings: result.findings,
  };
}

/** The report of a recovery: its findings are those of the last look. */
export function recoverReport(
  { after, plan, actions, recovery, checks }: RecoverResult,
  outage: Outage | undefined,
  run: RunFacts,
  asked: readonly RequestedCheck[] = [],
): Report {
  const { findings, ...head } = auditReport(after, run);
  return {
    ...head,
    ...(outage === undefined ? {} : { outage, timeline: outage.timeline }),
    plan: { steps: [...plan.steps], leftAlone: [...plan.leftAlone] },
    actions: actions.map(({ id, step, quarantined }) => ({
      id,
      kind: step.kind,
      ...(step.path === undefined ? {} : { path: step.path }),
      quarantined: quarantined !== undefined,
    })),
    ...(checks === undefined && asked.length === 0
      ? {}
      : { checks: { steps: (checks ?? []).map(checkStep), asked: [...asked] } }),
    recovery: { ...recovery, seconds: Math.round(run.seconds * 1000) / 1000 },
    findings,
  };
}

function describeHost(root: Root, result: AuditResult): Host {
  const os = osName(root);
  return {
    ...(root.isHost ? { hostname: hostname(), kernel: release() } : {}),
    ...(os === undefined ? {} : { os }),
    ...(result.database.native === '' ? {} : { architecture: bytesToText(result.database.native) }),
    root: pathToText(root.path),
    admindir: pathToText(result.database.admindir.inside),
    privileged: process.geteuid?.() === 0,
  };
}

/** PRETTY_NAME of the root's os-release(5). */
function osName(root: Root): string | undefined {
  const found = root.resolveFully('/etc/os-release');
  const outcome = found.kind === 'found' ? readRegularFile(found.host, 64 * 1024) : undefined;
  const value = outcome?.kind === 'read' ? /^PRETTY_NAME=(.*)$/m.exec(outcome.data)?.[1] : undefined;
  return value === undefined ? undefined : bytesToText(value.replace(/^(["'])(.*)\1$/, '$2'));
}

function summarise(result: AuditResult, run: RunFacts): Summary {
  const severities = { info: 0, warning: 0, error: 0, critical: 0 };
  for (const { severity } of result.findings) severities[severity] += 1;
  const worse = severities.warning + severities.error + severities.critical;
  return {
    verdict: worse > 0 ? 'findings' : result.unchecked.length > 0 ? 'incomplete' : 'sound',
    severities,
    likelyOutage: result.findings.filter((finding) => finding.likelyOutage).length,
    packages: result.packages,
    files: result.files,
    bytesRead: result.bytesRead,
    unchecked: { count: result.unchecked.length, paths: result.unchecked.slice(0, MAX_UNCHECKED) },
    scope: run.scope,
    startedAt: run.startedAt.toISOString(),
    seconds: Math.round(run.seconds * 1000) / 1000,
  };
}
