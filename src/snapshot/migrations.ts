/**
 * The store's tables, one step a version (PRAGMA user_version). A step that has landed is never changed: a new one is
 * added. Byte strings stand in TEXT columns, a character a byte, so they come back as they went in.
 *
 *     path      every path that was ever known, resolved inside the root
 *     snapshot  one row a snapshot; `changed` counts what it differs in from the one before
 *     entry     what each path is in the newest snapshot, `since` the snapshot that first saw it so
 *     history   what it was before: from snapshot `since` on, and not any more in `until`
 *     content   copies, once each by SHA-256, zstd; `base` is the content that served as the dictionary
 *     trans     transactions, as the JSON of model/transaction.ts
 *     file_list what the packages of a transaction bring: the number of a content, lines of MD5 and path
     kept      old versions of files that an open transaction replaces
 *     notice    what watch saw outside any transaction
 *     state     what scripts made outside all manifests, as it stood when the last installation that names it was sealed
 */
const COLUMNS = `
  kind INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
  size INTEGER NOT NULL, ino INTEGER NOT NULL, mtime REAL NOT NULL, ctime REAL NOT NULL,
  origin INTEGER NOT NULL, flags INTEGER NOT NULL,
  xxh64 BLOB, md5 BLOB, target TEXT, capability BLOB, content INTEGER`;

export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE path (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
  CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, scope TEXT NOT NULL, taken_at TEXT NOT NULL, boot TEXT, trans TEXT,
    sealed INTEGER NOT NULL, entries INTEGER NOT NULL, changed INTEGER NOT NULL,
    files_read INTEGER NOT NULL, bytes_read INTEGER NOT NULL, seconds REAL NOT NULL
  );
  CREATE TABLE entry (path INTEGER PRIMARY KEY, since INTEGER NOT NULL, ${COLUMNS});
  CREATE TABLE history (
    path INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, ${COLUMNS},
    PRIMARY KEY (path, since)
  ) WITHOUT ROWID;
  CREATE INDEX history_until ON history (until);
  CREATE TABLE content (
    id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    base INTEGER, depth INTEGER NOT NULL, data BLOB NOT NULL
  );
  CREATE TABLE trans (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, document TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX trans_state ON trans (state);
  CREATE TABLE kept (
    trans TEXT NOT NULL, path INTEGER NOT NULL, method TEXT NOT NULL, file TEXT NOT NULL,
    kind INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
    size INTEGER NOT NULL, mtime REAL NOT NULL, xxh64 BLOB,
    PRIMARY KEY (trans, path)
  ) WITHOUT ROWID;
  CREATE TABLE file_list (
    trans TEXT NOT NULL, name TEXT NOT NULL, architecture TEXT NOT NULL, version TEXT NOT NULL, content INTEGER NOT NULL,
    PRIMARY KEY (trans, name, architecture, version)
  ) WITHOUT ROWID;
  CREATE TABLE notice (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL, path TEXT, document TEXT NOT NULL
  );
  `,
  `
  CREATE TABLE state (
    path TEXT PRIMARY KEY, kind INTEGER, ino INTEGER NOT NULL, ctime REAL NOT NULL, xxh64 BLOB
  ) WITHOUT ROWID;
  `,
];

/** Marks a SQLite file as ours (PRAGMA application_id): `dbmd`. */
export const APPLICATION_ID = 0x64626d64;
