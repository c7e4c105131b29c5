import { describe, expect, it } from 'vitest';
import { ACCOUNT_FILES, areAccounts, isAccountScratch, isOfAccounts } from '../../src/recovery/accounts.ts';

describe('the files of accounts', () => {
  it('are they, their backups and their lock', () => {
    for (const path of [...ACCOUNT_FILES, '/etc/passwd-', '/etc/subgid-', '/etc/.pwd.lock'])
      expect(isOfAccounts(path), path).toBe(true);
    for (const path of ['/etc/passwd--', '/etc/passwd.lock', '/usr/share/etc/passwd', '/etc/hosts-'])
      expect(isOfAccounts(path), path).toBe(false);
  });

  it('have locks, numbered ones and halves beside them while they are written', () => {
    for (const path of ['/etc/passwd.lock', '/etc/shadow.123', '/etc/group+'])
      expect(isAccountScratch(path), path).toBe(true);
    for (const path of ['/etc/passwd', '/etc/passwd-', '/etc/hosts.lock', '/etc/passwd.old', '/etc/x/group+'])
      expect(isAccountScratch(path), path).toBe(false);
  });

  it('are told from those of the same number of fields', () => {
    expect(areAccounts('/etc/gshadow', 'root:*::\nlab:!:root:\n')).toBe(true);
    expect(areAccounts('/etc/group', 'root:*::\nlab:!:root:\n')).toBe(false);
    expect(areAccounts('/etc/gshadow', 'root:x:0:\n')).toBe(false);
    expect(areAccounts('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n+::::::\n')).toBe(true);
    expect(areAccounts('/etc/passwd', 'root:x:zero:0:root:/root:/bin/sh\n')).toBe(false);
  });

  it('have lines of so many fields, the last one too', () => {
    expect(areAccounts('/etc/group', 'root:x:0:\nlab:x:999:root,daemon\n+:::\n')).toBe(true);
    expect(areAccounts('/etc/group', '')).toBe(true);
    expect(areAccounts('/etc/group', 'root:x:0:\nlab:x')).toBe(false);
    expect(areAccounts('/etc/group', 'root:x:0:\n\n')).toBe(false);
    expect(areAccounts('/etc/hosts', '127.0.0.1 localhost\n')).toBeUndefined();
  });
});
