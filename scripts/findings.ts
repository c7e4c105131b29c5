/**
 * Writes docs/findings.md from the codes, so that the page and the program can't disagree.
 * test/model/findings-page.unit.test.ts fails while the page is out of date.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FINDING_CODES } from '../src/model/codes.ts';

export const FINDINGS_PAGE = join(import.meta.dirname, '../docs/findings.md');

/** The first part of a code, and what the group is about. */
const GROUPS = [
  [
    'file',
    'Files',
    'Paths of packages, held against the manifests, an archive, the alternatives or a statoverride.',
  ],
  ['conffile', 'Conffiles', 'They belong to the administrator: a change is `info`, damage is not.'],
  [
    'leftover',
    'Leftovers',
    'Names that dpkg and its tools leave when they are stopped, judged by what they hold.',
  ],
  ['package', 'Package states', 'What dpkg itself calls unfinished.'],
  ['database', "dpkg's database", 'Damage to dpkg’s own files, with its own message where it has one.'],
  ['apt', "apt's files", 'Indexes, caches, unfinished downloads.'],
  [
    'generated',
    'Generated files',
    'Made by programs of packages; no manifest knows them, and they can be made again.',
  ],
  ['boot', 'The next start', 'The kernel that boots next, its initramfs and modules, the boot loader.'],
  ['filesystem', 'Filesystems', 'What they, the kernel and this boot’s own check say of them.'],
  [
    'fsck',
    'Checks',
    'What a check of a filesystem that is not mounted found, and checks that were asked for.',
  ],
  ['scrub', 'Online checks', 'What a check of a mounted filesystem found.'],
  ['store', "debmend's store", 'Its own database of snapshots and transactions.'],
  ['transaction', 'Transactions', 'Installations that the hooks told of.'],
] as const;

const SEVERITIES = `| severity | means |
| --- | --- |
| critical | dpkg or the system cannot work: dpkg refuses its database, an essential package's file is damaged, the device fails |
| error | damage |
| warning | a difference that a person should look at |
| info | needs no hand |`;

export function findingsPage(): string {
  const tables = GROUPS.map(([prefix, title, about]) => {
    const rows = Object.entries(FINDING_CODES)
      .filter(([code]) => code.startsWith(`${prefix}-`))
      .map(([code, meaning]) => `| \`${code}\` | ${meaning} |`);
    return `## ${title}\n\n${about}\n\n| code | meaning |\n| --- | --- |\n${rows.join('\n')}\n`;
  });
  return `# Findings

Every finding has a code that never changes its meaning, a severity, the package and path concerned, how it is known
(\`knownBy\`), and whether it looks like the work of a power cut (\`likelyOutage\`, with the reason).

${SEVERITIES}

${tables.join('\n')}`;
}

if (import.meta.main) writeFileSync(FINDINGS_PAGE, findingsPage());
