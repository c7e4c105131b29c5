/** Programs of this host that the lab calls for itself. */
import { type RunResult, run } from '../../../../src/system/run.ts';

const TIMEOUT_MS = 5 * 60 * 1000;

/** @throws Error with what it said, unless it ended with one of these codes */
export async function tool(program: string, args: readonly string[], codes = [0]): Promise<RunResult> {
  const result = await run(program, args, { timeout: TIMEOUT_MS });
  if (result.code !== undefined && codes.includes(result.code)) return result;
  const end = result.timedOut ? 'took too long' : (result.failure ?? result.code ?? result.signal);
  throw new Error(
    `${program} ${args.join(' ')}: ${end}\n${result.stdout.toString('latin1')}${result.stderr}`,
  );
}

export async function copySparse(from: string, to: string): Promise<void> {
  await tool('cp', ['--sparse=always', '--reflink=auto', '--', from, to]);
}
