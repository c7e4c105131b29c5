/**
 * Real journals: systemd-journald itself, in a mount namespace of its own, with the boot id that it is to have. It is
 * told to stop, as at the end of a boot, or killed, as a cut does; what it left open the next one finds and renames.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestBody, testUnless, whyNoRoots } from '../lab/roots.ts';

const JOURNALD = '/lib/systemd/systemd-journald';

export interface LoggedBoot {
  readonly boot: string;
  readonly end: 'stop' | 'kill';
}

function whyNoJournald(): string | undefined {
  const reason = whyNoRoots();
  if (reason !== undefined) return reason;
  if (!existsSync(JOURNALD)) return 'systemd is not installed';
  return existsSync('/var/log/journal') ? undefined : 'there is no /var/log/journal to mount over';
}

export function journaldTest(name: string, body: TestBody): void {
  testUnless(whyNoJournald(), name, body);
}

/** $1: the directory for /var/log/journal; $2: the boot id; $3: stop or kill. All mounts go with the namespace. */
const BOOT = `
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal
mount --bind "$1" /var/log/journal
echo 0123456789abcdef0123456789abcdef >/run/machine-id
mount --bind /run/machine-id /etc/machine-id
echo "$2" >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
mount --bind /dev/null /dev/kmsg
touch /run/systemd/journal/flushed
${JOURNALD} & journald=$!
for attempt in $(seq 100); do [ -S /run/systemd/journal/stdout ] && break; sleep 0.1; done
echo "the last words of $2" | systemd-cat -t probe
for attempt in $(seq 100); do
  journalctl -D /var/log/journal -t probe -q -o cat 2>&1 | grep -q "words of $2" && break
  sleep 0.1
done
if [ "$3" = stop ]; then kill -TERM $journald; else kill -KILL $journald; fi
wait $journald || true
`;

/**
 * Lets a root's journal have these boots, one after the other.
 *
 * @throws Error with what was said when journald does not start
 */
export function logBoots(root: string, boots: readonly LoggedBoot[]): void {
  const journal = join(root, 'var/log/journal');
  mkdirSync(journal, { recursive: true });
  for (const { boot, end } of boots) {
    const ended = spawnSync('unshare', ['--mount', 'bash', '-c', BOOT, 'boot', journal, boot, end], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    if (ended.status !== 0) throw new Error(`journald in a namespace: ${ended.stderr}`);
  }
}
