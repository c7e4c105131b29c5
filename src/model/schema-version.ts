/** Raised by one whenever a reader of reports would have to change; additions of optional parts do not raise it. */
export const SCHEMA_VERSION = 1;
