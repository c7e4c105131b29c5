/** Which findings ask for the same hand. The compiler holds this table complete: a new code must say what to do. */
import type { FindingCode } from '../../model/codes.ts';
import type { Finding } from '../../model/finding.ts';
import { compareSeverity } from '../../model/severity.ts';

export type Topic =
  | 'disk'
  | 'status'
  | 'updates'
  | 'lists'
  | 'scripts'
  | 'control'
  | 'backup'
  | 'owner'
  | 'format'
  | 'triggers'
  | 'orphans'
  | 'reinstall'
  | 'configure'
  | 'pending'
  | 'leftovers'
  | 'conffiles'
  | 'unowned'
  | 'boot'
  | 'generated'
  | 'apt'
  | 'auto-marks'
  | 'filesystem'
  | 'store'
  | 'transaction'
  | 'calm';

/** Damage that decides by its looks whether it is to be mended or was somebody's wish. */
const BY_LOOKS = 'by-looks';

const TOPIC_OF: Readonly<Record<FindingCode, Topic | typeof BY_LOOKS>> = {
  'file-missing': BY_LOOKS,
  'file-zero-length': BY_LOOKS,
  'file-nul-filled': BY_LOOKS,
  'file-nul-tail': BY_LOOKS,
  'file-truncated': BY_LOOKS,
  'file-modified': BY_LOOKS,
  'file-wrong-type': BY_LOOKS,
  'file-wrong-link-target': BY_LOOKS,
  'file-unreadable': 'disk',
  'file-excluded': 'calm',
  'file-diverted': 'calm',
  'file-wrong-mode': BY_LOOKS,
  'file-wrong-owner': BY_LOOKS,
  'conffile-modified': 'calm',
  'conffile-missing': 'conffiles',
  'conffile-zero-length': 'conffiles',
  'conffile-nul-filled': 'conffiles',
  'conffile-nul-tail': 'conffiles',
  'leftover-partial': 'leftovers',
  'leftover-backup': 'leftovers',
  'leftover-pending-conffile': 'pending',
  'leftover-administrator': 'calm',
  'leftover-configured': 'calm',
  'package-half-installed': 'reinstall',
  'package-unpacked': 'configure',
  'package-half-configured': 'configure',
  'package-triggers-awaited': 'configure',
  'package-triggers-pending': 'configure',
  'package-reinst-required': 'reinstall',
  'database-status-missing': 'status',
  'database-status-empty': 'status',
  'database-status-nul': 'status',
  'database-status-unparsable': 'status',
  'database-update-empty': 'updates',
  'database-update-nul': 'updates',
  'database-update-padding': 'updates',
  'database-update-unparsable': 'updates',
  'database-update-name': 'updates',
  'database-list-missing': 'reinstall',
  'database-list-empty': 'lists',
  'database-list-nul': 'lists',
  'database-list-unterminated': 'lists',
  'database-list-empty-name': 'lists',
  'database-md5sums-empty': 'reinstall',
  'database-md5sums-nul': 'reinstall',
  'database-md5sums-unterminated': 'reinstall',
  'database-md5sums-malformed': 'reinstall',
  'database-script-empty': 'scripts',
  'database-script-nul': 'scripts',
  'database-control-nul': 'control',
  'database-control-malformed': 'control',
  'database-diversions-damaged': 'backup',
  'database-statoverride-damaged': 'backup',
  'database-statoverride-unknown-owner': 'owner',
  'database-format-corrupt': 'format',
  'database-format-missing': 'format',
  'database-format-unknown': 'format',
  'database-triggers-file-damaged': 'triggers',
  'database-triggers-interest-missing': 'triggers',
  'database-triggers-unincorp-damaged': 'triggers',
  'database-arch-damaged': 'backup',
  'database-alternatives-damaged': 'backup',
  'database-leftover': 'leftovers',
  'database-orphan': 'orphans',
  'database-unreadable': 'disk',
  'apt-list-damaged': 'apt',
  'apt-cache-damaged': 'apt',
  'apt-partial': 'apt',
  'apt-extended-states-damaged': 'auto-marks',
  'generated-damaged': 'generated',
  'generated-missing': 'generated',
  'boot-kernel-damaged': 'boot',
  'boot-kernel-missing': 'boot',
  'boot-initramfs-damaged': 'boot',
  'boot-initramfs-missing': 'boot',
  'boot-modules-damaged': 'boot',
  'boot-modules-missing': 'boot',
  'boot-loader-damaged': 'boot',
  'boot-loader-missing': 'boot',
  'boot-loader-stale': 'boot',
  'filesystem-errors': 'filesystem',
  'filesystem-file-damaged': 'filesystem',
  'filesystem-read-only': 'filesystem',
  'filesystem-io-errors': 'filesystem',
  'filesystem-not-answering': 'filesystem',
  'filesystem-check-failed': 'filesystem',
  'filesystem-check-corrected': 'filesystem',
  'filesystem-lost-found': 'filesystem',
  'filesystem-weak-options': 'calm',
  'filesystem-space': 'filesystem',
  'fsck-check-missed': 'filesystem',
  'fsck-settings-left': 'filesystem',
  'fsck-file-damaged': 'filesystem',
  'fsck-directory-damaged': 'filesystem',
  'fsck-orphan': 'filesystem',
  'fsck-structure-damaged': 'filesystem',
  'fsck-structure-stale': 'calm',
  'fsck-journal-pending': 'filesystem',
  'fsck-unclean': 'filesystem',
  'fsck-unfinished': 'filesystem',
  'scrub-corrected': 'filesystem',
  'scrub-uncorrectable': 'filesystem',
  'scrub-failed': 'filesystem',
  'store-damaged': 'store',
  'store-set-aside': 'calm',
  'package-forgotten': 'transaction',
  'transaction-interrupted': 'transaction',
};

/** The damages after which dpkg or apt would stop, or go on believing something that is not so. */
const DATABASE_TOPICS = [
  'status',
  'updates',
  'lists',
  'scripts',
  'control',
  'backup',
  'owner',
  'format',
  'triggers',
] as const;

export type Topics = ReadonlyMap<Topic, readonly Finding[]>;

/** The findings that need a hand (all but `info`), by topic. */
export function byTopic(findings: readonly Finding[]): Topics {
  return Map.groupBy(
    findings.filter((finding) => finding.severity !== 'info'),
    topicOf,
  );
}

function topicOf(finding: Finding): Topic {
  const topic = TOPIC_OF[finding.code];
  // Only a package that dpkg can name can be reinstalled.
  if (topic === 'reinstall' && finding.package === undefined) return 'orphans';
  if (topic !== BY_LOOKS) return topic;
  const mild = looksDeliberate(finding) ? 'critical' : 'error';
  if (!finding.likelyOutage && compareSeverity(finding.severity, mild) < 0) return 'calm';
  return finding.package === undefined ? 'unowned' : 'reinstall';
}

/** Whole, but other than the package made it: without an outage's marks that is somebody's work. */
function looksDeliberate({ code }: Finding): boolean {
  return code === 'file-modified' || code.startsWith('file-wrong-');
}

export function damagesDatabase(topics: Topics): boolean {
  return DATABASE_TOPICS.some((topic) => topics.has(topic));
}
