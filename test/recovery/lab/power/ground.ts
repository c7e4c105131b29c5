/**
 * Where a workload is cut: one scene on one filesystem, prepared and synced, and what an uninterrupted run ends with.
 *
 *   scene ─► prepared image ─► copy, mounted ─► the workload to its end ─► expected, what works, how long it took
 */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot, installDebmend, mustInRoot } from '../../../lab/chroot.ts';
import { type Disk, diskScratch, throwawayDisk } from '../../../lab/disk.ts';
import type { DebianSuite } from '../../../lab/roots.ts';
import { type RootImage, readImage } from '../image.ts';
import { copySparse } from './tools.ts';
import { configureDpkg, imageHome, type Variant } from './variants.ts';
import type { PowerWorkload, Scene } from './workloads.ts';

/** What the Node.js that is shipped with debmend needs of a minimal root. */
const NEEDED = ['libatomic1'];
export const WORKLOAD_TIMEOUT_MS = 15 * 60 * 1000;

const LOOK_EVERY_MS = 5;

export interface Ground {
  readonly workload: PowerWorkload;
  readonly variant: Variant;
  /** The image before the workload, unmounted and synced. */
  readonly prepared: string;
  /** The root in it. */
  readonly base: RootImage;
  readonly expected: RootImage;
  /** What works after an uninterrupted run (PowerWorkload.check). */
  readonly facts: readonly string[];
  /** When, in that run, dpkg began: its log grew for the first time, in seconds from the start. */
  readonly begins: number;
  /** How long that run took, without the check. */
  readonly seconds: number;
  /** A mounted copy of an image. */
  disk(image: string): Disk;
  /** What is in an image, of which every copy that is mounted replays its journal the same way. */
  image(image: string): Promise<RootImage>;
  /** A path for an image, in the lab's scratch directory. */
  file(name: string): string;
}

interface Prepared {
  readonly key: string;
  readonly image: string;
  readonly base: RootImage;
}

export interface GroundsOptions {
  readonly suite: DebianSuite;
  readonly say: (line: string) => void;
}

/** Opens grounds one after another; the scene of the last one is kept, because the next often has the same. */
export class Grounds {
  readonly #options: GroundsOptions;
  readonly #scratch: string;
  #prepared: Prepared | undefined;
  #ground: Ground | undefined;

  constructor(options: GroundsOptions) {
    this.#options = options;
    this.#scratch = diskScratch(imageHome());
  }

  close(): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  /** @throws Error when the scene cannot be prepared, or the workload does not even work uninterrupted */
  async open(workload: PowerWorkload, variant: Variant): Promise<Ground> {
    const known = this.#ground;
    if (known?.workload === workload && known.variant === variant) return known;
    const prepared = await this.#scene(workload.scene, variant);
    const disk = (image: string) => mounted(variant, image);
    const uninterrupted = await runToTheEnd(workload, disk(prepared.image));
    this.#options.say(
      `${workload.name} on ${variant.name}: ${uninterrupted.seconds.toFixed(1)} s uninterrupted, dpkg from ${uninterrupted.begins.toFixed(1)} s`,
    );
    const ground: Ground = {
      workload,
      variant,
      prepared: prepared.image,
      base: prepared.base,
      ...uninterrupted,
      disk,
      image: (image) => imageOf(disk(image)),
      file: (name) => join(this.#scratch, name),
    };
    this.#ground = ground;
    return ground;
  }

  /** Another uninterrupted run against the first one: what the judge says of it has to be nothing. */
  again({ workload, prepared, disk }: Ground): Promise<Uninterrupted> {
    return runToTheEnd(workload, disk(prepared));
  }

  async #scene(scene: Scene, variant: Variant): Promise<Prepared> {
    const key = `${scene.name}-${variant.name}`;
    if (this.#prepared?.key === key) return this.#prepared;
    if (this.#prepared !== undefined) rmSync(this.#prepared.image, { force: true });
    this.#prepared = undefined;
    const image = join(this.#scratch, `prepared-${key}`);
    const { type, mountOptions } = variant;
    const disk = throwawayDisk({ type, mountOptions, size: scene.size, home: imageHome() });
    try {
      const { directory } = disk;
      await disk.fill(this.#options.suite, { include: [...NEEDED, ...scene.include] });
      configureDpkg(directory, variant);
      await scene.prepare(directory, this.#options.suite);
      await installDebmend(directory);
      await mustInRoot(directory, ['debmend', 'hooks', 'install']);
      await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
      disk.sync();
      disk.cut(); // unmounts it; everything is synced
      disk.restore(); // as the workload will find it
      const base = await readImage(directory);
      disk.sync();
      disk.cut();
      await copySparse(disk.image, image);
      this.#prepared = { key, image, base };
      return this.#prepared;
    } finally {
      disk.remove();
    }
  }
}

async function imageOf(disk: Disk): Promise<RootImage> {
  try {
    return await readImage(disk.directory);
  } finally {
    disk.remove();
  }
}

function mounted({ type, mountOptions }: Variant, image: string): Disk {
  return throwawayDisk({ type, mountOptions, copyOf: image, home: imageHome() });
}

export type Uninterrupted = Pick<Ground, 'expected' | 'facts' | 'begins' | 'seconds'>;

async function runToTheEnd(workload: PowerWorkload, disk: Disk): Promise<Uninterrupted> {
  try {
    const { directory } = disk;
    const options = { offline: true, timeout: WORKLOAD_TIMEOUT_MS };
    const begun = performance.now();
    const since = () => (performance.now() - begun) / 1000;
    const log = join(directory, 'var/log/dpkg.log');
    const size = () => statSync(log, { throwIfNoEntry: false })?.size ?? 0;
    const before = size();
    let begins: number | undefined;
    const watch = setInterval(() => {
      if (begins === undefined && size() !== before) begins = since();
    }, LOOK_EVERY_MS);
    await mustInRoot(directory, workload.command, options).finally(() => clearInterval(watch));
    const seconds = since();
    if (workload.timer !== undefined) await mustInRoot(directory, workload.timer, options);
    const expected = await readImage(directory);
    const { facts, wrong } = (await workload.check?.(directory)) ?? { facts: [], wrong: '' };
    if (wrong !== '') throw new Error(`${workload.name} does not even work uninterrupted: ${wrong}`);
    const audit = await inRoot(directory, ['dpkg', '--audit']);
    if (audit.stdout !== '') throw new Error(`${workload.name}, uninterrupted: ${audit.stdout}`);
    return { expected, facts, begins: begins ?? 0, seconds };
  } finally {
    disk.remove();
  }
}
