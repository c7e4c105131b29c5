/**
 * What the tests of the audit share: private Debian roots, tiny packages made by dpkg-deb(1) and installed by the
 * root's own dpkg, and findings as one line each, so that a whole audit is compared at once.
 */
import { spawnSync } from 'node:child_process';
import { lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach } from 'vitest';
import { type AuditOptions, type AuditResult, audit } from '../../src/audit/audit.ts';
import type { Finding } from '../../src/model/finding.ts';
import { Root } from '../../src/system/root.ts';
import { buildPackage, type TinyPackage } from '../lab/packages.ts';
import { type DebianRoot, type DebianRootOptions, type DebianSuite, debianRoot } from '../lab/roots.ts';

export type { Content, TinyPackage } from '../lab/packages.ts';

export const REPOSITORY = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');
export const BIN = join(REPOSITORY, 'bin/debmend');
export const SUITES: readonly DebianSuite[] = ['bookworm', 'trixie'];

const opened: DebianRoot[] = [];
const temporary: string[] = [];
const cleanups: (() => void)[] = [];

afterEach(() => {
  // What a test mounted goes first, and the last of it before the first.
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  for (const root of opened.splice(0)) root.remove();
  for (const directory of temporary.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** A root that goes with the test. */
export async function open(suite: DebianSuite, options?: DebianRootOptions): Promise<string> {
  const root = await debianRoot(suite, options);
  opened.push(root);
  return root.directory;
}

/** A directory of this host that goes with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'debmend-audit-'));
  temporary.push(directory);
  return directory;
}

/** Something to undo when the test ends, however it ends. */
export function atEnd(cleanup: () => void): void {
  cleanups.push(cleanup);
}

/** A whole audit of a root, with what a test wants otherwise. */
export function auditOf(directory: string, options: Partial<AuditOptions> = {}): Promise<AuditResult> {
  return audit({
    root: new Root(directory),
    scope: { packages: [], paths: [] },
    quick: false,
    archives: [],
    leftoverGlobs: [],
    ignoreLock: false,
    ...options,
  });
}

/** A finding as one line: `error outage file-truncated bash /usr/bin/bash`. */
export function line(finding: Finding): string {
  const { severity, likelyOutage, code, package: name = '-', path = '-' } = finding;
  return `${severity} ${likelyOutage ? 'outage' : 'other'} ${code} ${name} ${path}`;
}

/** The findings of a whole audit, as sorted lines. */
export async function linesOf(directory: string, options?: Partial<AuditOptions>): Promise<string[]> {
  return (await auditOf(directory, options)).findings.map(line).sort();
}

export interface Said {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; what it wrote comes back as Latin-1, a character a byte. */
export function say(program: string, ...args: string[]): Said {
  const result = spawnSync(program, args, {
    encoding: 'latin1',
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    maxBuffer: 256 * 1024 * 1024,
    timeout: 60_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (result.error !== undefined) throw result.error;
  return { code: result.status, signal: result.signal, stdout: result.stdout, stderr: result.stderr };
}

/** The same, for what has to succeed. */
export function must(program: string, ...args: string[]): string {
  const result = say(program, ...args);
  if (result.code === 0) return result.stdout;
  throw new Error(
    `${program} ${args.join(' ')}: ${result.code ?? result.signal}\n${result.stdout}${result.stderr}`,
  );
}

/** Runs a program inside a root; it has to succeed. */
export function inside(directory: string, program: string, ...args: string[]): string {
  return must('chroot', directory, program, ...args);
}

/** bin/debmend, as a user calls it. */
export function debmend(...args: string[]): Said {
  return say(BIN, ...args);
}

/** Builds a .deb in a root's /tmp. @returns its path inside the root */
export function buildDeb(directory: string, pkg: TinyPackage): string {
  return `/tmp/${basename(buildPackage(pkg, at(directory, 'tmp')))}`;
}

/** Builds packages and installs each with the root's dpkg. */
export function install(directory: string, ...packages: readonly TinyPackage[]): void {
  for (const pkg of packages) inside(directory, 'dpkg', '--force-confold', '-i', buildDeb(directory, pkg));
}

/** The architecture of a root's own dpkg, and another one. */
export function architectures(directory: string): { native: string; foreign: string } {
  const native = inside(directory, 'dpkg', '--print-architecture').trim();
  return { native, foreign: native === 'amd64' ? 'arm64' : 'amd64' };
}

/** A path of a root as one of this host; for paths that are text. */
export function at(directory: string, path: string): string {
  return join(directory, path);
}

/** Whether a name is there, a dangling link included. */
export function isThere(directory: string, path: string): boolean {
  return lstatSync(at(directory, path), { throwIfNoEntry: false }) !== undefined;
}
