/** What the configuration can say, as a type, and what holds without a file. schema.ts reads it from YAML. */
export interface Config {
  readonly audit: {
    /** Absolute globs (fast-glob) whose matches are reported as leftovers. */
    readonly leftoverGlobs: readonly string[];
  };
}

export const DEFAULT_CONFIG: Config = { audit: { leftoverGlobs: [] } };
