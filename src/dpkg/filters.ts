/**
 * path-exclude and path-include (dpkg(1), src/main/filters.c) from dpkg.cfg and dpkg.cfg.d/ (lib/dpkg/options.c).
 * Patterns are those of fnmatch(3) without flags: `*` and `?` match a slash too. The last match wins.
 */
import type { Bytes } from '../system/bytes.ts';

export interface PathFilter {
  readonly include: boolean;
  readonly pattern: Bytes;
  readonly matches: (path: Bytes) => boolean;
}

/** The buffer of dpkg_options_load_file, its terminating NUL included. */
const MAX_CONFIG_LINE = 1024;

/** The filters of one configuration file, in order. Everything else in it is none of our business. */
export function parseDpkgConfig(data: Bytes): PathFilter[] {
  const filters: PathFilter[] = [];
  for (const raw of data.split('\n')) {
    const line = trimEnd(raw.slice(0, MAX_CONFIG_LINE - 1));
    // Any character ends the option's name, and one `=` more is skipped (`path-exclude = pattern`).
    const match = /^path-(exclude|include)[^A-Za-z0-9-]=?[ \t-\r]*(.+)$/s.exec(line);
    const pattern = match?.[2] === undefined ? undefined : stripQuotes(match[2]);
    if (match === null || pattern === undefined) continue;
    filters.push({ include: match[1] === 'include', pattern, matches: fnmatch(pattern) });
  }
  return filters;
}

/** Whether dpkg reads a file of dpkg.cfg.d (lib/dpkg/options.c, valid_config_filename). */
export function isConfigName(name: Bytes): boolean {
  return /^[A-Za-z0-9_-]+$/.test(name);
}

/** Not `\s`, which also takes the byte 0xA0, the end of many a UTF-8 character; and linear in the length. */
function trimEnd(line: Bytes): Bytes {
  let end = line.length;
  while (end > 0 && /[ \t-\r]/.test(line.charAt(end - 1))) end -= 1;
  return line.slice(0, end);
}

function stripQuotes(value: Bytes): Bytes | undefined {
  const quote = value.charAt(0);
  if (quote !== '"' && quote !== "'") return value;
  return value.length >= 2 && value.endsWith(quote) ? value.slice(1, -1) : undefined;
}

/** One position of a pattern: what a single byte must be, or any number of bytes. */
type Token = '*' | ((byte: number) => boolean);

/**
 * fnmatch(3) with flags 0, compiled. The matching time is at most the product of both lengths, whatever the pattern,
 * which a regular expression would not promise.
 */
export function fnmatch(pattern: Bytes): (path: Bytes) => boolean {
  const tokens = tokenize(pattern);
  return (path) => {
    let token = 0;
    let at = 0;
    let star = -1;
    let resume = 0;
    while (at < path.length) {
      const current = tokens[token];
      if (current === '*') {
        star = token;
        resume = at;
        token += 1;
      } else if (current?.(path.charCodeAt(at))) {
        token += 1;
        at += 1;
      } else if (star >= 0) {
        // The last star takes one byte more; earlier ones never need to.
        resume += 1;
        at = resume;
        token = star + 1;
      } else return false;
    }
    while (tokens[token] === '*') token += 1;
    return token === tokens.length;
  };
}

function tokenize(pattern: Bytes): Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < pattern.length; i += 1) {
    const char = pattern.charAt(i);
    if (char === '*') tokens.push('*');
    else if (char === '?') tokens.push(() => true);
    else if (char === '\\') {
      i += 1;
      // At the pattern's end it quotes nothing, and glibc matches nothing.
      tokens.push(literal(i < pattern.length ? pattern.charCodeAt(i) : -1));
    } else {
      const bracket = char === '[' ? parseBracket(pattern, i) : undefined;
      tokens.push(bracket?.token ?? literal(pattern.charCodeAt(i)));
      if (bracket !== undefined) i = bracket.end;
    }
  }
  return tokens;
}

function literal(code: number): Token {
  return (byte) => byte === code;
}

const CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /[A-Za-z0-9]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  cntrl: /[\x00-\x1f\x7f]/,
  digit: /[0-9]/,
  graph: /[!-~]/,
  lower: /[a-z]/,
  print: /[ -~]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[\t-\r ]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

/** A bracket expression that begins at `start`; undefined when it has no end, and is a plain `[` then. */
function parseBracket(pattern: Bytes, start: number): { token: Token; end: number } | undefined {
  let i = start + 1;
  const negated = pattern.charAt(i) === '!' || pattern.charAt(i) === '^';
  if (negated) i += 1;
  const ranges: [number, number][] = [];
  const classes: RegExp[] = [];
  for (let first = true; i < pattern.length; first = false, i += 1) {
    if (pattern.charAt(i) === ']' && !first) {
      const token: Token = (byte) => {
        const char = String.fromCharCode(byte);
        const inside =
          ranges.some(([from, to]) => byte >= from && byte <= to) || classes.some((c) => c.test(char));
        return inside !== negated;
      };
      return { token, end: i };
    }
    const named = /^\[:([a-z]+):\]/.exec(pattern.slice(i, i + 12))?.[1];
    const namedClass = named === undefined ? undefined : CLASSES[named];
    if (named !== undefined && namedClass !== undefined) {
      classes.push(namedClass);
      i += named.length + 3;
      continue;
    }
    const from = elementAt(pattern, i);
    i = from.end;
    if (pattern.charAt(i + 1) === '-' && i + 2 < pattern.length && pattern.charAt(i + 2) !== ']') {
      const to = elementAt(pattern, i + 2);
      i = to.end;
      ranges.push([from.code, to.code]);
    } else ranges.push([from.code, from.code]);
  }
  return undefined;
}

/** One byte of a bracket expression, quoted or as `[.x.]` or `[=x=]`, and where it ends. */
function elementAt(pattern: Bytes, at: number): { code: number; end: number } {
  const char = pattern.charAt(at);
  const named = char === '[' ? /^\[([.=]).\1\]/s.test(pattern.slice(at, at + 5)) : false;
  if (named) return { code: pattern.charCodeAt(at + 2), end: at + 4 };
  const end = char === '\\' && at + 1 < pattern.length ? at + 1 : at;
  return { code: pattern.charCodeAt(end), end };
}

/** Characters that begin a wildcard in an include pattern, as filters.c takes them. */
const WILDCARD = /[*?[\\]/;

/**
 * Whether dpkg would leave a path out.
 *
 * @param mayHoldOthers a directory or a link, which a more specific include brings back in
 */
export function isExcluded(filters: readonly PathFilter[], path: Bytes, mayHoldOthers: boolean): boolean {
  let skip = false;
  for (const filter of filters) if (filter.matches(path)) skip = !filter.include;
  if (!skip || !mayHoldOthers) return skip;
  return !filters.some((filter) => {
    if (!filter.include) return false;
    const wildcard = filter.pattern.search(WILDCARD);
    const fixed = (wildcard < 0 ? filter.pattern : filter.pattern.slice(0, wildcard)).replace(/\/+$/, '');
    // dpkg compares as many characters as the fixed part has (strncmp), so a longer path under it matches too.
    return path.startsWith(fixed);
  });
}
