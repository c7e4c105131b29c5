import { describe, expect, it } from 'vitest';
import { parseStatusLog } from '../../src/dpkg/status-logger.ts';

/** As dpkg 1.21.22 wrote it to --status-fd. */
const LOG = `processing: install: zz-t
status: zz-t: half-installed
status: zz-t: unpacked
processing: configure: zz-t
status: libc6:amd64: half-configured
status: /etc/zz : conffile-prompt : '/tmp/instr/etc/zz' '/tmp/instr/etc/zz.dpkg-new' 1 0${' '}
status: zz-t : error : end of file on stdin at conffile prompt
status: zz2.deb : error : dpkg-deb --fsys-tarfile subprocess returned error exit status 2
`;

const one = (line: string) => parseStatusLog(`${line}\n`).events;

describe('parseStatusLog', () => {
  it('reads what dpkg wrote', () => {
    expect(parseStatusLog(LOG)).toEqual({
      rest: '',
      damaged: false,
      events: [
        { kind: 'processing', stage: 'install', package: 'zz-t', architecture: undefined },
        { kind: 'state', state: 'half-installed', package: 'zz-t', architecture: undefined },
        { kind: 'state', state: 'unpacked', package: 'zz-t', architecture: undefined },
        { kind: 'processing', stage: 'configure', package: 'zz-t', architecture: undefined },
        { kind: 'state', state: 'half-configured', package: 'libc6', architecture: 'amd64' },
        {
          kind: 'conffile-prompt',
          conffile: '/etc/zz',
          current: '/tmp/instr/etc/zz',
          offered: '/tmp/instr/etc/zz.dpkg-new',
          userEdited: true,
          distributorEdited: false,
        },
        { kind: 'error', subject: 'zz-t', message: 'end of file on stdin at conffile prompt' },
        {
          kind: 'error',
          subject: 'zz2.deb',
          message: 'dpkg-deb --fsys-tarfile subprocess returned error exit status 2',
        },
      ],
    });
  });

  it.each(['install', 'upgrade', 'configure', 'trigproc', 'disappear', 'remove', 'purge'])('%s', (stage) => {
    expect(one(`processing: ${stage}: a:i386`)).toEqual([
      { kind: 'processing', stage, package: 'a', architecture: 'i386' },
    ]);
  });

  it.each([
    'not-installed',
    'config-files',
    'half-installed',
    'unpacked',
    'half-configured',
    'triggers-awaited',
    'triggers-pending',
    'installed',
  ])('%s', (state) => {
    expect(one(`status: a: ${state}`)).toEqual([
      { kind: 'state', state, package: 'a', architecture: undefined },
    ]);
  });

  it('takes a message with colons and quotes as it is', () => {
    expect(one("status: /a b/c : d.deb : error : reading '/x': y : error : z ")).toEqual([
      { kind: 'error', subject: '/a b/c : d.deb', message: "reading '/x': y : error : z " },
    ]);
    expect(one("status: a : error : b : conffile-prompt : 'c' 'd' 1 1 ")).toMatchObject([
      { kind: 'error', subject: 'a' },
    ]);
  });

  it('takes a prompt about a name with quotes and blanks', () => {
    expect(one("status: /e/it's : conffile-prompt : '/e/it's' '/e/it's.dpkg-new' 0 1")).toMatchObject([
      {
        conffile: "/e/it's",
        current: "/e/it's",
        offered: "/e/it's.dpkg-new",
        userEdited: false,
        distributorEdited: true,
      },
    ]);
  });

  it.each([
    'progress: x',
    'status: a',
    'status: a: gone',
    'status: : installed',
    'status: a b: installed',
    'status: a:: installed',
    'processing: a',
    'processing: unpack: a',
    'processing: install: ',
    'status: /a : conffile-prompt : /b /c 1 1',
    "status: /a : conffile-prompt : '/b' 1 1 ",
    "status: /a : conffile-prompt : '/b' '/c' 2 1 ",
    'dpkg: warning',
  ])('keeps %j', (line) => {
    expect(one(line)).toEqual([{ kind: 'other', line }]);
  });

  it('leaves a last line without its newline for later', () => {
    const first = parseStatusLog(LOG.slice(0, 30));
    expect(first).toMatchObject({ events: [{ kind: 'processing' }], rest: 'stat' });
    const second = parseStatusLog(first.rest + LOG.slice(30));
    expect([...first.events, ...second.events]).toEqual(parseStatusLog(LOG).events);
  });

  it('reads what stands before NUL bytes, and what was written on behind them', () => {
    const line = 'status: a: installed';
    expect(parseStatusLog(`${LOG}stat\0\0\0\0`)).toMatchObject({
      events: parseStatusLog(LOG).events,
      rest: 'stat\0\0\0\0',
      damaged: true,
    });
    expect(parseStatusLog(`${LOG}\0\0\0\0${line}\n`).events.at(-1)).toMatchObject({ kind: 'state' });
    expect(parseStatusLog(`${LOG}\0\0\0\0us: a: installed\n`)).toMatchObject({ damaged: true });
    expect(parseStatusLog('\0\0us: a: installed\n').events).toEqual([
      { kind: 'other', line: '\0\0us: a: installed' },
    ]);
  });
});
