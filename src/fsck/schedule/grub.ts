/**
 * One word for one boot, by GRUB: its environment block (grub-editenv(1)) says whether, a piece of grub.cfg takes it out
 * of there before the kernel starts, and a drop-in puts it on the kernel's command line.
 *
 *     grubenv: debmend_fsck_once=preen ──► grub.cfg: taken, saved as empty ──► linux … fsck.mode=force fsck.repair=preen
 *
 * All of it is there from the asking to the boot after, and no longer. grub-mkconfig -o writes over grub.cfg in place,
 * which a power cut leaves cut off: its text is taken instead, looked at, and written durably.
 *
 * The words are two variables, and each is one word: whether GRUB splits a variable does not matter.
 */
import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Bytes, bufferOf, bytesOf, fsPath } from '../../system/bytes.ts';
import { syncDirectory, writeDurably } from '../../system/durable.ts';
import { DebmendError, errnoOf, messageOf } from '../../system/errors.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import { run } from '../../system/run.ts';

const GRUB_CFG = '/boot/grub/grub.cfg';
const GRUBENV = '/boot/grub/grubenv';
/** Debian's grub-mkconfig reads these after /etc/default/grub; the name sorts behind others. */
const DROP_IN = '/etc/default/grub.d/zz-debmend-fsck.cfg';
/** After 00_header, which loads the environment block, and before 10_linux. */
const SCRIPT = '/etc/grub.d/06_debmend_fsck';
const VARIABLE = 'debmend_fsck_once';
const OURS = /debmend_fsck/;
const MAKE = ['grub-mkconfig', '-o', GRUB_CFG];
const TIMEOUT_MS = 5 * 60_000;

const DROP_IN_TEXT = `# Made by debmend for the next boot alone, and taken away after it ('debmend fsck schedule --cancel' does it now).
GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT \\\${debmend_fsck_mode} \\\${debmend_fsck_repair}"
`;

/**
 * GRUB writes only to a file whose blocks lie on a disk as they are: not on LVM, RAID or encryption, nor where blocks have
 * checksums. A save_env that fails there makes it wait for a key. Then debmend takes the variable out, after the boot.
 */
const SCRIPT_TEXT = `#!/bin/sh
# Made by debmend for the next boot alone, and taken away after it ('debmend fsck schedule --cancel' does it now).
set -e
save="save_env ${VARIABLE}"
for abstraction in $(grub-probe --target=abstraction /boot/grub 2>/dev/null); do
  case "$abstraction" in
    diskfilter | lvm | mdraid* | raid* | cryptodisk | luks*) save=true ;;
  esac
done
case "$(grub-probe --target=fs /boot/grub 2>/dev/null)" in
  '' | btrfs | zfs | cpiofs | newc | odc | romfs | squash4 | tarfs) save=true ;;
esac
cat <<EOF
if [ -n "\\\${${VARIABLE}}" ]; then
  set debmend_fsck_mode=fsck.mode=force
  set debmend_fsck_repair="fsck.repair=\\\${${VARIABLE}}"
  export debmend_fsck_mode debmend_fsck_repair
  set ${VARIABLE}=
  $save
fi
EOF
`;

/** A command as a person could give it, with what it reads on standard input. */
export interface ShownCommand {
  readonly command: readonly string[];
  readonly input?: string;
}

/** What would be done, as commands. */
export function askCommands(repair: string): ShownCommand[] {
  return [
    { command: ['mkdir', '-p', dirname(DROP_IN)] },
    { command: ['tee', DROP_IN], input: DROP_IN_TEXT },
    { command: ['install', '-m', '0755', '/dev/stdin', SCRIPT], input: SCRIPT_TEXT },
    { command: MAKE },
    { command: editenv('set', `${VARIABLE}=${repair}`) },
  ];
}

export function withdrawCommands(): ShownCommand[] {
  return [
    { command: editenv('unset', VARIABLE) },
    { command: ['rm', '-f', DROP_IN, SCRIPT] },
    { command: MAKE },
  ];
}

/**
 * Tells GRUB. Everything is taken back when not all of it can be done.
 *
 * @throws DebmendError `check-not-asked`
 */
export async function askGrub(root: Root, repair: 'preen' | 'yes'): Promise<void> {
  try {
    put(root, DROP_IN, DROP_IN_TEXT, 0o644);
    put(root, SCRIPT, SCRIPT_TEXT, 0o755);
    const text = await makeConfiguration();
    const asks = /^\s*linux\s.*\$\{debmend_fsck_mode\} \$\{debmend_fsck_repair\}/m;
    if (!asks.test(text) || !text.includes(`set ${VARIABLE}=\n`))
      throw failed('grub-mkconfig', 'what it wrote does not have the words');
    await writeConfiguration(root, text);
    // Last: from here on the next boot is asked.
    await must(editenv('set', `${VARIABLE}=${repair}`));
    if ((await variable()) !== repair) throw failed('grub-editenv', 'the variable is not there afterwards');
  } catch (error) {
    try {
      await withdrawGrub(root);
    } catch {
      // What failed first is what has to be heard of; the record says that something may be left.
    }
    throw error instanceof DebmendError ? error : failed('writing for GRUB', messageOf(error), error);
  }
}

/**
 * Takes away everything that askGrub made, however far it came. A second call finds nothing to do.
 *
 * @throws DebmendError `check-not-asked`
 */
export async function withdrawGrub(root: Root): Promise<void> {
  // The variable first: from there on no boot is asked any more, whatever happens to the rest.
  if ((await variable()) !== undefined) await must(editenv('unset', VARIABLE));
  for (const path of [DROP_IN, SCRIPT]) take(root, path);
  if (!OURS.test(configuration(root))) return;
  const text = await makeConfiguration();
  if (OURS.test(text)) throw failed('grub-mkconfig', 'what it wrote still has the words');
  await writeConfiguration(root, text);
}

function editenv(...args: string[]): string[] {
  return ['grub-editenv', GRUBENV, ...args];
}

async function variable(): Promise<string | undefined> {
  const { stdout } = await run('grub-editenv', [GRUBENV, 'list'], { timeout: TIMEOUT_MS });
  return new RegExp(`^${VARIABLE}=(.*)$`, 'm').exec(bytesOf(stdout))?.[1];
}

async function makeConfiguration(): Promise<Bytes> {
  return bytesOf(await must(['grub-mkconfig']));
}

/** @throws DebmendError, and nothing was written, when GRUB itself finds a mistake in it */
async function writeConfiguration(root: Root, text: Bytes): Promise<void> {
  const { code, stderr } = await run('grub-script-check', [], { timeout: TIMEOUT_MS, input: bufferOf(text) });
  if (code !== 0 || !/^\s*linux\s/m.test(text))
    throw failed('grub-mkconfig', `what it wrote starts nothing (${lastLine(stderr)})`);
  const found = root.resolveFully(GRUB_CFG);
  if (found.kind === 'unreachable') throw failed(`looking for ${GRUB_CFG}`, found.errno);
  // Of a superuser's password the mode keeps others away, and FAT has only the modes that it has.
  const mode = lstatSync(fsPath(found.host)).mode & 0o777;
  writeDurably(found.host, bufferOf(text), mode);
}

function configuration(root: Root): Bytes {
  const found = root.resolveFully(GRUB_CFG);
  const outcome = found.kind === 'found' ? readRegularFile(found.host) : undefined;
  return outcome?.kind === 'read' ? outcome.data : '';
}

function put(root: Root, path: string, text: string, mode: number): void {
  const directory = root.resolveDirectory(dirname(path));
  if (directory.kind === 'unreachable') {
    mkdirSync(fsPath(root.hostPath(dirname(path))));
    root.forget();
  }
  const found = root.resolve(path);
  if (found.kind === 'unreachable') throw failed(`writing ${path}`, found.errno);
  writeDurably(found.host, text, mode);
}

function take(root: Root, path: string): void {
  const found = root.resolve(path);
  if (found.kind === 'unreachable') return;
  try {
    rmSync(fsPath(found.host));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  syncDirectory(dirname(found.host));
}

async function must([program = '', ...args]: readonly string[]): Promise<Buffer> {
  const { code, failure, timedOut, stdout, stderr } = await run(program, args, { timeout: TIMEOUT_MS });
  if (code === 0) return stdout;
  const end = failure ?? (timedOut ? 'it took too long' : lastLine(stderr));
  throw failed([program, ...args].join(' '), end);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) || 'it said nothing';
}

function failed(what: string, why: string, cause?: unknown): DebmendError {
  return new DebmendError(
    'check-not-asked',
    `asking for a check by GRUB: ${what}: ${why}`,
    "what was changed is taken back; 'update-grub' by hand shows what is wrong",
    cause,
  );
}
