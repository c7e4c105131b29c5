/**
 * Tells systemd how far the agent is (sd_notify(3)). Node has no datagram sockets of the Unix domain, so systemd's own
 * program does it; the unit needs `NotifyAccess=all`, because it is another process that speaks.
 */
import { run } from '../system/run.ts';

const TIMEOUT_MS = 400;

/** Does nothing where nobody wants to know. Never throws. */
export async function notifySystemd(state: 'READY=1' | 'STOPPING=1'): Promise<void> {
  const socket = process.env['NOTIFY_SOCKET'];
  if (socket === undefined || socket === '') return;
  // By itself it waits until systemd has seen it, which a stop has no use for.
  const args = state === 'STOPPING=1' ? ['--no-block', state] : [state];
  await run('systemd-notify', args, { timeout: TIMEOUT_MS, env: { NOTIFY_SOCKET: socket } });
}
