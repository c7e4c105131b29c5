/** From the text of a configuration file to settings, or to the first mistake in it and where that is. */
import { type Document, isCollection, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { messageOf } from '../system/errors.ts';
import { configSchema } from './schema.ts';
import type { Config } from './settings.ts';

export interface ConfigMistake {
  readonly message: string;
  readonly hint: string;
  /** Counted from 1; not every mistake has a place. */
  readonly line: number | undefined;
  readonly cause: unknown;
}

export type ParsedConfig =
  | { config: Config; mistake?: undefined }
  | { config?: undefined; mistake: ConfigMistake };

/** Never throws. */
export function parseConfig(text: string): ParsedConfig {
  const lines = new LineCounter();
  // Pretty errors quote the file over several lines; here the place and one sentence are said.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const wrong = document.errors[0];
  if (wrong !== undefined) {
    const message = wrong.code === 'MULTIPLE_DOCS' ? 'it has more than one document' : wrong.message;
    return yamlMistake(message, lines.linePos(wrong.pos[0]).line, wrong);
  }
  let content: unknown;
  try {
    content = document.toJS() ?? {};
  } catch (error) {
    // An alias of nothing, or aliases that would unfold to more than anyone wrote.
    return yamlMistake(messageOf(error), undefined, error);
  }
  const parsed = configSchema.safeParse(content);
  if (parsed.success) return { config: parsed.data };
  const issue = parsed.error.issues[0];
  const key = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  const offset = issue === undefined ? undefined : offsetOf(document, issue);
  return {
    mistake: {
      message: `${key}${sentence(issue?.message ?? 'it is not valid')}`,
      hint: 'docs/configuration.md lists every key',
      line: offset === undefined ? undefined : lines.linePos(offset).line,
      cause: parsed.error,
    },
  };
}

function yamlMistake(message: string, line: number | undefined, cause: unknown): ParsedConfig {
  const hint = 'the file is YAML, and docs/configuration.md has an example';
  return { mistake: { message: sentence(message), hint, line, cause } };
}

/** As debmend says things: in lower case, and without a full stop. */
function sentence(message: string): string {
  return message.trim().replace(/^[A-Z](?![A-Z])/, (letter) => letter.toLowerCase());
}

/** Where in the text an issue is: at its key, or at the item of a list. */
function offsetOf(document: Document, issue: z.core.$ZodIssue): number | undefined {
  const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]] : issue.path;
  const last = path.at(-1);
  if (last === undefined) return startOf(document.contents);
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => isScalar(key) && key.value === last);
    return startOf(pair?.key);
  }
  return isCollection(parent) ? startOf(parent.get(last, true)) : undefined;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
