/**
 * Beats while the agent runs. A disk that stalls must not make beats pile up: while one is on its way none is begun,
 * and what was missed stays missed, because a beat says when it was written and not when it was due.
 */
import { type Heartbeat, HeartbeatFile } from '../outage/heartbeat.ts';
import { bootId, uptime } from '../system/boot.ts';
import { errnoOf, messageOf } from '../system/errors.ts';

/** How long the last beat may take: an agent that is told to stop stops, whatever the disk does. In milliseconds. */
const LAST_BEAT_MS = 500;
/** A beat that took longer is said, in milliseconds: a disk that takes seconds to sync 4 KiB is in trouble. */
const LATE_MS = 5000;

export interface HeartbeatEvents {
  /** Beating fails; said once a reason, and again after it went well in between. */
  onFailed(reason: string): void;
  /** A beat took long. */
  onLate(seconds: number): void;
}

export class Beating {
  readonly #file: string;
  readonly #every: number;
  readonly #events: HeartbeatEvents;
  readonly #boot = bootId();
  #open: HeartbeatFile | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pending: Promise<void> | undefined;
  #failed: string | undefined;

  /** @param every seconds between two beats */
  constructor(file: string, every: number, events: HeartbeatEvents) {
    this.#file = file;
    this.#every = every;
    this.#events = events;
  }

  /** The first beat, and from then on one after the other. Returns when the first is on disk, or has failed. */
  async start(): Promise<void> {
    await this.#begin(false);
    this.#timer = setInterval(() => void this.#begin(false), this.#every * 1000);
  }

  /** The last beat, which says that it is the last. Returns soon, whatever the disk does. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const last = (async () => {
      await this.#pending;
      await this.#begin(true);
      await this.#open?.close();
    })();
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, LAST_BEAT_MS);
    await Promise.race([last, patience.promise]);
    clearTimeout(timer);
  }

  #begin(stopped: boolean): Promise<void> {
    this.#pending ??= this.#beat(stopped).finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #beat(stopped: boolean): Promise<void> {
    const started = performance.now();
    const beat: Omit<Heartbeat, 'sequence'> = {
      at: new Date(),
      boot: this.#boot,
      uptime: uptime(),
      every: this.#every,
      stopped,
    };
    try {
      this.#open ??= await HeartbeatFile.open(this.#file);
      await this.#open.beat(beat);
      this.#failed = undefined;
      const took = performance.now() - started;
      if (took > LATE_MS) this.#events.onLate(Math.round(took / 100) / 10);
    } catch (error) {
      // The file may have been replaced, or the filesystem mounted anew: the next beat opens it again.
      await this.#open?.close().catch(() => {});
      this.#open = undefined;
      const reason = errnoOf(error) ?? messageOf(error);
      if (reason !== this.#failed) this.#events.onFailed(reason);
      this.#failed = reason;
    }
  }
}
