/** Version strings (deb-version(7), lib/dpkg/parsehelp.c, parseversion). */
import type { Bytes } from '../system/bytes.ts';

const MAX_EPOCH = 2 ** 31 - 1;

/**
 * Why dpkg refuses a version when it reads its database, or undefined. Wrong characters only make it warn there, so
 * they are not an error here.
 */
export function checkVersion(value: Bytes): string | undefined {
  const version = value.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '');
  if (version === '') return 'version string is empty';
  if (/[ \t]/.test(version)) return 'version string has embedded spaces';
  const colon = version.indexOf(':');
  let rest = version;
  if (colon >= 0) {
    const epoch = /^[ \t-\r]*[+-]?\d+/.exec(version)?.[0];
    if (epoch === undefined) return 'epoch in version is empty';
    if (epoch.length !== colon) return 'epoch in version is not number';
    if (Number(epoch) < 0) return 'epoch in version is negative';
    if (Number(epoch) > MAX_EPOCH) return 'epoch in version is too big';
    rest = version.slice(colon + 1);
    if (rest === '') return 'nothing after colon in version number';
  }
  const hyphen = rest.lastIndexOf('-');
  if (hyphen === rest.length - 1) return 'revision number is empty';
  if (hyphen === 0) return 'version number is empty';
  return undefined;
}
