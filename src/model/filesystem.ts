/**
 * What a report says of a filesystem: where it is mounted and what lies below it, how it is, and what the kernel, fsck
 * and the filesystem itself said of it. `schemas/report.schema.json` is generated from here (`npm run schemas`).
 */
import { z } from 'zod';

const count = z.int().min(0);
const path = z.string().describe('a path; bytes that are not UTF-8 make it a percent-escaped file: URI');

/** What a filesystem is to the system, by where it is mounted; `efi` holds the boot loader of a UEFI. */
export const ROLES = ['root', 'usr', 'boot', 'efi', 'var', 'data'] as const;
/** What lies on it that debmend is there for. */
export const HOLDINGS = ['packages', 'database', 'store', 'boot'] as const;
export const LAYER_KINDS = [
  'partition',
  'disk',
  'lvm',
  'dm-crypt',
  'device-mapper',
  'md',
  'loop',
  'other',
] as const;
/** How a filesystem is; the last three say why nothing is known. */
export const STATES = [
  'sound',
  'errors',
  'read-only',
  'shut-down',
  'not-answering',
  'unknown',
  'not-applicable',
] as const;

export const layerSchema = z.strictObject({
  device: z.string().describe("the kernel's name: sda1, dm-0, md127"),
  kind: z.enum(LAYER_KINDS),
  name: z.string().optional().describe("the device mapper's or md's own name, or a loop device's file"),
});

export const filesystemErrorSchema = z.strictObject({
  source: z
    .enum(['superblock', 'kernel-log', 'file-system'])
    .describe('file-system: looking at a path failed'),
  at: z.iso.datetime().optional(),
  uptime: z.number().min(0).optional().describe('seconds since this boot began'),
  text: z.string().describe('in the words of the source, as far as it has any'),
  device: z.string().optional().describe('the device that failed, where that is not the filesystem’s own'),
  inode: count.optional(),
  block: count.optional().describe("in the filesystem's own blocks; of btrfs a logical address"),
  path: path.optional().describe('inside the root: what that inode or block belongs to now'),
  packages: z
    .array(z.string())
    .optional()
    .describe('the packages that own that path; of a directory all that have something in it, the first ten'),
});

export const bootCheckSchema = z.strictObject({
  outcome: z
    .enum(['clean', 'recovered', 'corrected', 'errors-left', 'failed', 'unknown'])
    .describe('recovered: only the journal was replayed; failed: the check itself could not be made'),
  source: z.string().describe('the file or program that says so'),
  text: z.string().describe('the line that decided'),
  status: count.optional().describe("fsck's exit status, where it stands in the log (fsck(8))"),
});

export const ext4StateSchema = z.strictObject({
  state: z
    .array(z.enum(['clean', 'not-clean', 'errors', 'orphans']))
    .optional()
    .describe('as in the superblock; a mounted filesystem that writes is not clean, and that is no fault'),
  behaviour: z
    .enum(['continue', 'remount-ro', 'panic'])
    .optional()
    .describe('what the kernel does when it meets an error, by the superblock; a mount option goes before'),
  errors: count.optional().describe('errors since the last fsck'),
  warnings: count.optional().describe('warnings since it was mounted'),
  lastCheck: z.iso.datetime().optional(),
  lastMount: z.iso.datetime().optional(),
  mountCount: count.optional().describe('mounts since the last check'),
  maxMountCount: count.optional().describe('a check is due after so many; absent: never for that'),
  checkInterval: count.optional().describe('seconds after which a check is due; absent: never for that'),
});

export const deviceStatsSchema = z.strictObject({
  device: z.string(),
  write: count,
  read: count,
  flush: count,
  corruption: count,
  generation: count,
});

export const filesystemSchema = z
  .strictObject({
    mountPoint: path.describe('inside the root: the shortest of them'),
    mountPoints: z.array(path).describe('all of them, bind mounts and subvolumes too'),
    role: z.enum(ROLES),
    holds: z.array(z.enum(HOLDINGS)),
    type: z.string(),
    source: z.string().describe('as the mount table has it'),
    device: z.string().optional().describe("the kernel's name; absent without a block device"),
    uuid: z.string().optional(),
    layers: z.array(layerSchema).describe('the device and what is below it, down to the disks'),
    options: z.array(z.string()),
    readOnly: z.boolean(),
    state: z.enum(STATES),
    reason: z.string().optional().describe('why the state is not sound'),
    weak: z
      .array(z.strictObject({ option: z.string(), text: z.string() }))
      .describe('options that let a power cut or an error do more harm'),
    space: z
      .strictObject({
        size: count.describe('bytes'),
        free: count.describe('bytes that are not used'),
        available: count.describe('bytes that anyone may use'),
        inodes: count.optional().describe('absent where they are made as needed'),
        inodesFree: count.optional(),
      })
      .optional(),
    ext4: ext4StateSchema.optional(),
    deviceStats: z.array(deviceStatsSchema).optional().describe('of btrfs, since they were last reset'),
    bootCheck: bootCheckSchema.optional().describe("this boot's own check"),
    errors: z.array(filesystemErrorSchema).describe('the newest last; only the last ones of many'),
    unread: z.array(z.string()).describe('what could not be asked, and why'),
  })
  .meta({ id: 'Filesystem' });

export type Filesystem = z.infer<typeof filesystemSchema>;
export type FilesystemRole = (typeof ROLES)[number];
export type Holding = (typeof HOLDINGS)[number];
export type Layer = z.infer<typeof layerSchema>;
export type FilesystemState = (typeof STATES)[number];
export type FilesystemFault = z.infer<typeof filesystemErrorSchema>;
export type BootCheck = z.infer<typeof bootCheckSchema>;
export type Ext4State = z.infer<typeof ext4StateSchema>;
export type DeviceStats = z.infer<typeof deviceStatsSchema>;
