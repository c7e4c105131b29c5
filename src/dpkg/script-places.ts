/** The places where packages keep state, as their maintainer scripts name them. */
import type { Bytes } from '../system/bytes.ts';

/** Paths of the kind that state is kept under, as they stand in a shell script. */
export const PLACES = /\/(?:var|srv|opt)\/[\w.+@-]+(?:\/[\w.+@-]+)+/g;
/** The system's own: everybody writes there, and none of it is a package's alone. */
export const SHARED =
  /^\/var\/(?:log|tmp|run|lock|mail)(?:\/|$)|^\/var\/(?:lib|cache)\/(?:dpkg|apt|debconf|debmend|ucf|systemd|pam|misc|ldconfig|man)(?:\/|$)/;

/** State that a maintainer script names literally, and that is a package's own. */
export function statePlaces(script: Bytes): Bytes[] {
  return (script.match(PLACES) ?? []).filter((place) => !SHARED.test(place));
}
