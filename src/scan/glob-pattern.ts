/** Globs without fast-glob, for those who compare names and walk nothing. */

/**
 * A glob as a regular expression: `*` and `?` stay in a directory, `**` does not, names that begin with a dot match
 * like others. Node's own path.matchesGlob says on every run that it is experimental.
 */
export function globPattern(glob: string): RegExp {
  let source = '';
  let braces = 0;
  for (let at = 0; at < glob.length; at += 1) {
    const char = glob[at] ?? '';
    const set = char === '[' ? /^\[([!^]?)(\]?[^\]/]*)\]/.exec(glob.slice(at)) : null;
    if (set !== null) {
      const [whole, not, characters = ''] = set;
      source += `(?!/)[${not === '' ? '' : '^'}${characters.replace(/[\\[\]^&]/g, '\\$&')}]`;
      at += whole.length - 1;
    } else if (glob.startsWith('**/', at) && (at === 0 || glob[at - 1] === '/')) {
      source += '(?:[^/]+/)*';
      at += 2;
    } else if (glob.startsWith('**', at)) {
      source += '.*';
      at += 1;
    } else if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '{') {
      source += '(?:';
      braces += 1;
    } else if (char === '}' && braces > 0) {
      source += ')';
      braces -= 1;
    } else if (char === ',' && braces > 0) source += '|';
    else {
      if (char === '\\') at += 1;
      source += (glob[at] ?? '').replace(/[^\w/-]/gu, '\\$&');
    }
  }
  return new RegExp(`^${source}${')'.repeat(braces)}$`, 's');
}
