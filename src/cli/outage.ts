/** `debmend outage`: parse, call, render. */
import type { Outage } from '../model/outage.ts';
import { keepTraces } from '../outage/assess.ts';
import { collectEvidence, runningBoot } from '../outage/collect.ts';
import { mergeEvidence } from '../outage/merge.ts';
import { outageBody, outageHead, outageReport } from '../report/outage.ts';
import { storeDirectory } from '../snapshot/store.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';

/** What commander hands over; its own checks have been made. */
interface OutageArguments {
  readonly root: string;
  readonly json?: boolean;
  readonly all?: boolean;
  readonly wait?: number;
}

/** @throws DebmendError */
export async function outageCommand(options: unknown): Promise<number> {
  const args = options as OutageArguments;
  const started = performance.now();
  const root = openRoot(args.root);
  const directory = storeDirectory(root);
  const running = runningBoot(root);
  const { evidence, late } = await collectEvidence({
    root,
    directory,
    running,
    limit: args.wait === undefined ? undefined : args.wait * 1000,
  });
  let outage = mergeEvidence(evidence);
  const seconds = (performance.now() - started) / 1000;
  const page = {
    colour: process.stdout.hasColors?.() === true && !process.env['NO_COLOR'],
    // A serial console often says that it has 0 columns, which means that it does not know.
    width: process.stdout.columns || Number.POSITIVE_INFINITY,
    all: args.all === true,
  };
  // The verdict is said before what takes longer, and cannot change it.
  if (args.json !== true) process.stdout.write(outageHead(outage, page));
  if (late !== undefined) outage = mergeEvidence([...evidence, ...(await late())]);
  if (args.json === true)
    process.stdout.write(`${JSON.stringify(outageReport(root, outage, seconds), undefined, 2)}\n`);
  else process.stdout.write(outageBody(outage, page));
  if (running !== undefined && outage.verdict !== 'not-applicable') keepTraces(root, directory, running.boot);
  return exitCode(outage);
}

function exitCode({ verdict }: Outage): number {
  switch (verdict) {
    case 'clean':
    case 'not-applicable':
      return EXIT.sound;
    case 'unclean':
    case 'forced-reboot':
    case 'panic':
    case 'unknown':
      return EXIT.findings;
  }
}
