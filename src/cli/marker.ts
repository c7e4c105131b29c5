/** `debmend marker set|clear`: what the marker's unit runs at the beginning and the end of a boot. */
import { keepTraces } from '../outage/assess.ts';
import { clearMarker, type Instant, setMarker } from '../outage/marker.ts';
import { storeDirectory } from '../snapshot/store.ts';
import { bootId, uptime } from '../system/boot.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';

interface MarkerArguments {
  readonly root: string;
}

/** @throws DebmendError `store-unusable` */
export function markerSet(options: unknown): number {
  const root = openRoot((options as MarkerArguments).root);
  const directory = storeDirectory(root);
  const instant = now();
  const { boot } = instant;
  setMarker(directory, instant);
  if (boot !== undefined && root.isHost) keepTraces(root, directory, boot);
  return EXIT.sound;
}

/** @throws DebmendError `store-unusable` */
export function markerClear(options: unknown): number {
  clearMarker(storeDirectory(openRoot((options as MarkerArguments).root)), now());
  return EXIT.sound;
}

function now(): Instant {
  return { boot: bootId(), at: new Date(), uptime: uptime() };
}
