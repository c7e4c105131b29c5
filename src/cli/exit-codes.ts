/** What debmend's exit codes mean, in every command alike. */
export const EXIT = { sound: 0, findings: 1, usage: 2, failed: 3, locked: 4, interrupted: 130 } as const;

export const EXIT_HELP = `
Exit codes:
  0    sound, or no finding as severe as --fail-on
  1    findings at or above --fail-on
  2    usage: an option or the configuration is wrong
  3    could not finish
  4    locked: another process is working on dpkg's database
  130  interrupted`;
