import { describe, expect, it } from 'vitest';
import { checkRelations, illegalPackageName, illegalSpecifier } from '../../src/dpkg/relations.ts';
import { checkVersion } from '../../src/dpkg/version.ts';

describe('checkRelations', () => {
  it.each([
    '',
    'a',
    'a, b',
    'a | b, c',
    'a:any (>= 1.0~rc1-2), b:amd64',
    'a(=1)',
    'a  (  <<  1:2  )  ,\n b',
    'A+b.c-d_e (> 1)',
    'a (>= 1.\xff)',
    'a\0 (',
  ])('takes %j', (value) => {
    expect(checkRelations('Depends', value)).toBeUndefined();
  });

  it.each([
    ['a,', "'Depends' field, missing package name, or garbage where package name expected"],
    [', a', "'Depends' field, missing package name, or garbage where package name expected"],
    ['(', "'Depends' field, missing package name, or garbage where package name expected"],
    ['a b', "'Depends' field, syntax error after reference to package 'a'"],
    ['A (= 1) x', "'Depends' field, syntax error after reference to package 'a'"],
    ['a:', "'Depends' field, missing architecture name, or garbage where architecture name expected"],
    [
      'a:-x',
      "'Depends' field, reference to 'a': invalid architecture name '-x': must start with an alphanumeric",
    ],
    ['a (<> 1)', "'Depends' field, reference to 'a':\n bad version relationship <>"],
    ['a (>= 1', "'Depends' field, reference to 'a': version unterminated"],
    ['a (>= 1 2)', "'Depends' field, reference to 'a': version contains '2' instead of ')'"],
    ['a (>= )', "'Depends' field, reference to 'a': version '': version string is empty"],
    ['a (>= 1:)', "'Depends' field, reference to 'a': version '1:': nothing after colon in version number"],
    [
      'fo\xa0o',
      "'Depends' field, invalid package name 'fo\xa0o': character '\xa0' not allowed (only letters, digits and characters '-+._')",
    ],
    [
      `a${'\xff'.repeat(300)}`,
      `'Depends' field, invalid package name 'a${'\xff'.repeat(254)}': character '\xff' not allowed (only letters, digits and characters '-+._')`,
    ],
  ])('refuses %j', (value, message) => {
    expect(checkRelations('Depends', value)).toBe(message);
  });

  it.each(['Conflicts', 'Breaks', 'Provides', 'Replaces'])('allows no alternatives in %s', (field) => {
    expect(checkRelations(field, 'a | b')).toBe(`alternatives ('|') not allowed in '${field}' field`);
  });
});

describe('checkVersion', () => {
  it.each([
    '1',
    '0',
    '1:2-3',
    '1.2~rc1+dfsg-0.1',
    ' 1\t',
    '2147483647:1',
    '+1:2',
    'abc',
    '1\xff',
    '1-2-3',
    '1 ',
  ])('takes %j', (version) => {
    expect(checkVersion(version)).toBeUndefined();
  });

  it.each([
    ['', 'version string is empty'],
    [' \t', 'version string is empty'],
    ['1 2', 'version string has embedded spaces'],
    [':1', 'epoch in version is empty'],
    ['a:1', 'epoch in version is empty'],
    ['1a:1', 'epoch in version is not number'],
    ['-1:1', 'epoch in version is negative'],
    ['2147483648:1', 'epoch in version is too big'],
    ['99999999999999999999:1', 'epoch in version is too big'],
    ['1:', 'nothing after colon in version number'],
    ['1-', 'revision number is empty'],
    ['-1', 'version number is empty'],
    ['\xa01:1', 'epoch in version is empty'],
  ])('refuses %j: %s', (version, message) => {
    expect(checkVersion(version)).toBe(message);
  });
});

describe('names', () => {
  it.each([
    ['a', undefined],
    ['0ad', undefined],
    ['libstdc++6', undefined],
    ['', 'may not be empty string'],
    ['-a', 'must start with an alphanumeric character'],
    ['\xe9', 'must start with an alphanumeric character'],
    ['a/b', "character '/' not allowed (only letters, digits and characters '-+._')"],
  ])('the package name %j', (name, why) => {
    expect(illegalPackageName(name)).toBe(why);
  });

  it.each([
    ['a:amd64', undefined],
    ['a:', "illegal architecture name in specifier 'a:': may not be empty string"],
    [
      'a:x_',
      "illegal architecture name in specifier 'a:x_': character '_' not allowed (only letters, digits and characters '-')",
    ],
    ['_:x', "illegal package name in specifier '_:x': must start with an alphanumeric character"],
  ])('the specifier %j', (name, why) => {
    expect(illegalSpecifier(name)).toBe(why);
  });
});
