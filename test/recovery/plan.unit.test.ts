import { describe, expect, it } from 'vitest';
import { DEFAULT_CONFIG } from '../../src/config/settings.ts';
import type { Package } from '../../src/dpkg/package.ts';
import type { FindingCode } from '../../src/model/codes.ts';
import type { Finding } from '../../src/model/finding.ts';
import { PHASES } from '../../src/model/recovery.ts';
import type { Solution } from '../../src/recovery/files.ts';
import { type PlanInput, planRecovery } from '../../src/recovery/plan.ts';

const finding = (code: FindingCode, more: Partial<Finding> = {}): Finding => ({
  code,
  severity: 'error',
  message: 'it is so',
  knownBy: 'status',
  likelyOutage: true,
  reason: 'a test says so',
  ...more,
});
const plan = (findings: readonly Finding[], more: Partial<PlanInput> = {}) =>
  planRecovery({
    findings,
    policy: DEFAULT_CONFIG.recovery,
    mends: [],
    unmendable: new Map(),
    redos: [],
    reinstalls: [],
    solutions: new Map(),
    tracked: [],
    regenerations: new Map(),
    untouchable: new Set(),
    tools: new Set(),
    ...more,
  });

describe('a plan', () => {
  const half = [
    finding('package-half-configured', { package: 'sound' }),
    finding('package-unpacked', { package: 'emptied' }),
  ];

  it('configures all that waits', () => {
    const { steps, leftAlone } = plan(half);
    expect(steps.map(({ step }) => step.command)).toEqual([['dpkg', '--configure', '-a']]);
    expect(leftAlone).toEqual([]);
  });

  it('never configures a package whose damaged script would run as success, and says so', () => {
    const reinstalls = [
      { package: 'other', name: 'other', version: '1', why: 'half', archive: '/other.deb' },
    ] as const;
    const { steps, leftAlone } = plan(half, { untouchable: new Set(['emptied']), reinstalls });
    expect(steps.map(({ deed }) => deed)).toEqual([
      // apt would configure whatever waits, too
      { kind: 'reinstall', archive: '/other.deb', unpackOnly: true },
      { kind: 'configure', packages: ['sound'] },
    ]);
    expect(leftAlone).toMatchObject([{ finding: 'package-unpacked', package: 'emptied', harmless: false }]);
  });

  it('has an answer to every finding that is more than information', () => {
    const findings = [
      finding('transaction-interrupted', { message: 'the installation T never ended' }),
      finding('file-modified', { path: '/usr/bin/x', package: 'x' }),
      finding('leftover-administrator', { path: '/etc/x.dpkg-old', severity: 'info' }),
      finding('database-list-missing', { path: '/var/lib/dpkg/info/x.list' }),
    ];
    const { steps, leftAlone } = plan(findings);
    expect(steps).toEqual([]);
    expect(leftAlone.map(({ finding: code, harmless }) => [code, harmless])).toEqual([
      ['leftover-administrator', true],
      ['transaction-interrupted', false],
      ['file-modified', false],
      ['database-list-missing', false],
    ]);
  });

  it('brings back what every script counts on before any is run', () => {
    const missing = (name: string, path: string) => finding('file-missing', { package: name, path });
    const tool = missing('coreutils', '/usr/bin/chown');
    const other = missing('tree', '/usr/bin/tree');
    const lacking = missing('sed:amd64', '/usr/bin/sed');
    const sed: Package = {
      name: 'sed',
      architecture: 'amd64',
      version: '4.9',
      want: 'install',
      flag: 'ok',
      state: 'installed',
      multiArch: 'foreign',
      vital: true,
      configVersion: '',
      conffiles: [],
      triggersPending: [],
      triggersAwaited: [],
      source: 'status',
    };
    const put = (path: string): Solution => ({
      kind: 'put',
      path,
      data: Buffer.from(path),
      attributes: { mode: 0o755, uid: 0, gid: 0 },
      source: 'a .deb',
    });
    const { steps } = plan([...half, tool, other, lacking], {
      tools: new Set(['coreutils', 'sed']),
      solutions: new Map<Finding, Solution>([
        [tool, put('/usr/bin/chown')],
        [other, put('/usr/bin/tree')],
        [lacking, { kind: 'none', package: sed, reason: 'no archive is at hand' }],
      ]),
    });
    const order = steps
      .map(({ step }) => [PHASES.indexOf(step.phase), step.what, step.path] as const)
      .sort(([a], [b]) => a - b);
    expect(order.map(([, what, path]) => [what, path])).toEqual([
      ['restore-file', '/usr/bin/chown'],
      ['download', '/usr/bin/sed'],
      ['configure', undefined],
      ['restore-file', '/usr/bin/tree'],
    ]);
  });

  it('moves aside, or removes by policy, partial files alone', () => {
    const findings = [
      finding('leftover-partial', { path: '/usr/bin/x.dpkg-new' }),
      finding('leftover-backup', { path: '/usr/bin/y.dpkg-tmp', severity: 'warning' }),
      finding('leftover-backup', { path: '/usr/bin/z.dpkg-tmp' }),
      finding('leftover-pending-conffile', { path: '/etc/x.dpkg-new' }),
    ];
    const whats = (partialFiles: 'quarantine' | 'remove') =>
      plan(findings, { policy: { ...DEFAULT_CONFIG.recovery, partialFiles } }).steps.map(({ step }) => [
        step.what,
        step.path,
      ]);
    expect(whats('quarantine')).toEqual([
      ['quarantine', '/usr/bin/x.dpkg-new'],
      ['quarantine', '/usr/bin/y.dpkg-tmp'],
      ['put-back', '/usr/bin/z.dpkg-tmp'],
    ]);
    expect(whats('remove')[0]).toEqual(['remove', '/usr/bin/x.dpkg-new']);
    expect(whats('remove')[1]).toEqual(['quarantine', '/usr/bin/y.dpkg-tmp']);
  });
});
