/** What the real programs said (dpkg 1.21.22 and 1.22.21, apt 2.6.1 and 3.0.3), as problems. */
import { expect, test } from 'vitest';
import { parseSimulation } from '../../../src/recovery/programs/apt.ts';
import { parseProblems } from '../../../src/recovery/programs/problems.ts';

test('a package that fails is named with its operation and dpkg’s reason', () => {
  const stderr = `dpkg: error processing package tb (--configure):
 package is in a very bad inconsistent state; you should
 reinstall it before attempting configuration
Errors were encountered while processing:
 tb
E: Sub-process /usr/bin/dpkg returned an error code (1)
`;
  expect(parseProblems('', stderr)).toEqual([
    {
      by: 'dpkg',
      package: 'tb',
      operation: '--configure',
      message:
        'package is in a very bad inconsistent state; you should reinstall it before attempting configuration',
    },
    { by: 'apt', message: 'Sub-process /usr/bin/dpkg returned an error code (1)' },
  ]);
});

test('an archive that fails is named by its path', () => {
  const stderr = `dpkg-deb: error: '/srv/x.deb' is not a Debian format archive
dpkg: error processing archive /srv/x.deb (--unpack):
 dpkg-deb --control subprocess returned error exit status 2
Errors were encountered while processing:
 /srv/x.deb
`;
  expect(parseProblems('', stderr)).toEqual([
    { by: 'dpkg', message: "'/srv/x.deb' is not a Debian format archive" },
    {
      by: 'dpkg',
      archive: '/srv/x.deb',
      operation: '--unpack',
      message: 'dpkg-deb --control subprocess returned error exit status 2',
    },
  ]);
});

test('what dpkg only lists at its end is a problem too', () => {
  const stderr = `Errors were encountered while processing:
 one:i386
 /srv/two.deb
`;
  const message = 'errors were encountered while processing it';
  expect(parseProblems('', stderr)).toEqual([
    { by: 'dpkg', package: 'one:i386', message },
    { by: 'dpkg', archive: '/srv/two.deb', message },
  ]);
});

test('an error that ends dpkg’s whole run names no package', () => {
  const lock = `dpkg: error: dpkg frontend lock was locked by another process with pid 12876
Note: removing the lock file is always wrong, can damage the locked area
`;
  expect(parseProblems('', lock)).toEqual([
    { by: 'dpkg', message: 'dpkg frontend lock was locked by another process with pid 12876' },
  ]);
  const list = `dpkg: unrecoverable fatal error, aborting:
 files list file for package 't' is missing final newline
`;
  expect(parseProblems('', list)).toEqual([
    { by: 'dpkg', message: "files list file for package 't' is missing final newline" },
  ]);
});

test('what apt says while it exits with 0 is a problem', () => {
  const stdout = 'Reinstallation of t is not possible, it cannot be downloaded.\n';
  expect(parseProblems(stdout, '')).toEqual([{ by: 'apt', message: stdout.trim() }]);
  expect(parseProblems('Setting up t (1.0) ...\n', 'W: something\n')).toEqual([]);
  expect(parseProblems('', '')).toEqual([]);
});

test('a simulation tells what would be installed and removed', () => {
  const stdout = `Reading package lists...
The following packages will be REMOVED:
  hostname*
Inst ta [1.0] (1.0 local-deb [all])
Purg hostname [3.23+nmu1]
Remv tm:i386 [1.0]
Inst tm (1.0 local-deb [amd64])
Conf ta (1.0 local-deb [all])
`;
  expect(parseSimulation(stdout)).toEqual({ installed: ['ta', 'tm'], removed: ['hostname', 'tm:i386'] });
});
