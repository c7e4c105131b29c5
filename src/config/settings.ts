/** What the configuration can say, as a type, and what holds without a file. schema.ts reads it from YAML. */
export interface Config {
  readonly audit: {
    /** Absolute globs (fast-glob) whose matches are reported as leftovers. */
    readonly leftoverGlobs: readonly string[];
  };
  readonly snapshots: {
    /** Absolute globs of paths that are known beside those that packages own. */
    readonly tracked: readonly string[];
    /** The most paths that the globs may add. */
    readonly trackedLimit: number;
    /** Absolute globs of paths whose content is copied too; dpkg's database and conffiles always are. */
    readonly copied: readonly string[];
    /** Larger files are not copied, in bytes. */
    readonly copyLimit: number;
    /** The most snapshots that stay. */
    readonly keep: number;
    /** Older snapshots go, in days. */
    readonly keepDays: number;
  };
  readonly hooks: {
    /** `log`: a hook that fails is logged, and apt goes on. `enforce`: apt stops before it changes anything. */
    readonly policy: 'log' | 'enforce';
    /** After so many seconds a hook is ended. */
    readonly timeLimit: number;
    /** How long the seal waits for what was written to be on disk, in seconds; 0: it asks for nothing. */
    readonly syncLimit: number;
    /** Mount points that are not synced, as paths inside the root: a database's disk, for instance. */
    readonly syncExclude: readonly string[];
    /** Whether .debs are kept until the seal. */
    readonly keepArchives: boolean;
    /** Whether the old versions of replaced files are kept until the seal. */
    readonly keepReplaced: boolean;
  };
  readonly recovery: {
    /** What the service does after an outage: only say it, move partial files aside, or mend. */
    readonly policy: 'report' | 'quarantine' | 'repair';
    /** Partial files that nothing needs. */
    readonly partialFiles: 'quarantine' | 'remove';
    /** An interrupted transaction is brought to its end, or its packages to what they were before it. */
    readonly transaction: 'finish' | 'take-back';
    /** Whether archives that are not at hand may be downloaded. */
    readonly network: boolean;
  };
  readonly fsck: {
    /** Whether a recovery asks for the filesystem checks that it finds due, at the next boot. */
    readonly schedule: 'auto' | 'never';
  };
  readonly watch: {
    /** Absolute globs of paths whose changes are reported at once; only package-owned files below them count. */
    readonly guarded: readonly string[];
    /** Seconds between two heartbeats. */
    readonly heartbeat: number;
    /** Seconds between two looks at dpkg's database where inotify is not to be had. */
    readonly poll: number;
    /** Seconds between two samples of the filesystems' error counters. */
    readonly sample: number;
  };
}

export const DEFAULT_CONFIG: Config = {
  audit: { leftoverGlobs: [] },
  snapshots: {
    tracked: [
      '/etc/**',
      '/boot/**',
      '/usr/local/**',
      // What maintainer scripts and triggers keep outside every manifest.
      '/var/lib/apt/extended_states',
      '/var/lib/ucf/**',
      '/var/lib/pam/**',
      '/var/lib/systemd/deb-systemd-helper-enabled/**',
      '/var/lib/systemd/deb-systemd-helper-masked/**',
      '/var/lib/shells.state',
      '/var/cache/debconf/config.dat',
      '/var/cache/debconf/templates.dat',
      '/var/cache/debconf/passwords.dat',
      '/usr/share/info/dir',
      '/usr/share/mime/mime.cache',
      '/usr/lib/locale/locale-archive',
    ],
    trackedLimit: 50_000,
    copied: [
      '/etc/**',
      '/var/lib/apt/extended_states',
      '/var/lib/ucf/**',
      '/var/lib/pam/**',
      '/var/lib/systemd/deb-systemd-helper-enabled/**',
      '/var/lib/systemd/deb-systemd-helper-masked/**',
      '/var/lib/shells.state',
      '/var/cache/debconf/config.dat',
      '/var/cache/debconf/templates.dat',
      '/var/cache/debconf/passwords.dat',
    ],
    copyLimit: 4 * 1024 * 1024,
    keep: 100,
    keepDays: 90,
  },
  hooks: {
    policy: 'log',
    timeLimit: 60,
    syncLimit: 30,
    syncExclude: [],
    keepArchives: true,
    keepReplaced: true,
  },
  recovery: {
    policy: 'repair',
    partialFiles: 'quarantine',
    transaction: 'finish',
    network: true,
  },
  fsck: { schedule: 'auto' },
  watch: {
    guarded: ['/etc/**', '/boot/**', '/usr/bin/**', '/usr/sbin/**', '/usr/lib/systemd/**'],
    heartbeat: 10,
    poll: 5,
    sample: 60,
  },
};
