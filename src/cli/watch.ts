/** `debmend watch`: parse, call, print what happens as it happens. */
import { loadConfig } from '../config/config.ts';
import { endedCleanly } from '../outage/boots.ts';
import { type WatchEvent, watch } from '../watch/agent.ts';
import { eventLine } from '../watch/say.ts';
import { EXIT } from './exit-codes.ts';
import { interruptible } from './interruption.ts';
import { openRoot } from './root.ts';

/** What commander hands over; its own checks have been made. */
interface WatchArguments {
  readonly root: string;
  readonly json?: boolean;
  readonly config?: string;
}

/** @throws DebmendError */
export async function watchCommand(options: unknown): Promise<number> {
  const args = options as WatchArguments;
  const root = openRoot(args.root);
  const config = await loadConfig(args.config);
  await interruptible((signal) =>
    watch({
      root,
      config,
      signal,
      endedCleanly,
      onEvent: (event: WatchEvent) => {
        process.stdout.write(`${args.json === true ? JSON.stringify(event) : eventLine(event)}\n`);
      },
    }),
  );
  return EXIT.sound;
}
