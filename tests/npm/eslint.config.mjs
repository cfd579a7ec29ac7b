/**
 * What JavaScript is held to: the page in src/tokenfall/web above all, the scripts of the tests besides.
 *
 * The page's rules have no exceptions in place: inline configuration is off there. tests/static plants what
 * they forbid and sees it refused.
 */

import js from '@eslint/js';
import globals from 'globals';

const PAGE = ['src/tokenfall/web/**/*.js'];

/** Selectors for a name however it is reached: `a.name`, `a['name']`, a[`name`], `{ name }`, `{ 'name': 1 }`. */
function named(names, message) {
  const whole = `/^(${names.join('|')})$/`;
  const selectors = [`Identifier[name=${whole}]`, `Literal[value=${whole}]`, `TemplateElement[value.cooked=${whole}]`];
  return selectors.map((selector) => ({ selector, message }));
}

/** Selectors for a call that makes or sets an attribute of such a name. */
function attribute(names, message) {
  const [call, name] = ['CallExpression[callee.property.name=/^(create|set|toggle)Attribute', `[value=/^(${names})$/i]`];
  return [`${call}$/] > Literal:first-child${name}`, `${call}NS$/] > Literal:nth-child(2)${name}`].map((selector) => ({
    selector,
    message,
  }));
}

const TEXT = 'Text is never parsed as HTML: make elements by createElement and text by textContent or append.';
const SCRIPT = 'Code comes from the files of this folder only: pass a function.';
const STORAGE = 'What the page keeps is for this tab only (tab_storage.js), but for settings of this device (device_storage.js).';
const HANDLER = 'The policy forbids handlers in attributes: use addEventListener.';
const STYLE = 'The policy forbids inline style: set a class, or a property of element.style.';
const OWN_FILES = "The page imports its own files only, by './name.js'.";

const MARKUP = [
  'innerHTML',
  'outerHTML',
  'insertAdjacentHTML',
  'setHTML',
  'setHTMLUnsafe',
  'parseHTML',
  'parseHTMLUnsafe',
  'DOMParser',
  'parseFromString',
  'createContextualFragment',
  'srcdoc',
  'writeln',
];

const STORED = ['indexedDB', 'cookie', 'cookieStore'];

const PAGE_SYNTAX = [
  ...named(MARKUP, TEXT),
  // document.write itself is a restricted property; these are other documents, or the same by another way.
  { selector: 'MemberExpression[property.name="write"][object.name=/^(?!document$).*doc(ument)?$/i]', message: TEXT },
  { selector: 'MemberExpression[property.name="write"][object.property.name=/document$/i]', message: TEXT },
  { selector: 'MemberExpression[property.value="write"][object.property.name=/document$/i]', message: TEXT },
  {
    selector:
      'CallExpression[callee.property.name=/^createElement(NS)?$/]' +
      ' > Literal[value=/^(script|style|iframe|frame|object|embed|base)$/i]',
    message: 'Scripts, styles and frames are not made at run time: index.html names the files.',
  },
  ...attribute('on.*', HANDLER),
  ...attribute('style', STYLE),
  { selector: 'MemberExpression[property.name="Function"]', message: SCRIPT },
  { selector: 'MemberExpression[property.value="Function"]', message: SCRIPT },
  { selector: 'TemplateElement[value.cooked=/^\\s*(javascript|vbscript|data):/i]', message: SCRIPT },
  { selector: 'Literal[value=/^\\s*(vbscript:|data:text)/i]', message: SCRIPT },
  ...named(STORED, STORAGE),
  { selector: 'ImportDeclaration[source.value=/^(?!\\.\\u002F)/]', message: OWN_FILES },
  { selector: 'ImportExpression', message: OWN_FILES },
];

const LOCAL_STORAGE = named(['localStorage'], STORAGE);

/** Names of `window` that a local variable is easily mistaken for. */
const MISTAKEN = ['event', 'name', 'status', 'length', 'top', 'parent', 'find', 'stop', 'close', 'open', 'focus'];

export default [
  js.configs.recommended,
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { ecmaVersion: 2024, sourceType: 'module' },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      complexity: ['error', 12],
      eqeqeq: 'error',
      'max-lines': ['error', 300],
      'max-lines-per-function': ['error', 60],
      'max-params': ['error', 4],
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-new-func': 'error',
      'no-shadow': 'error',
      'no-unused-vars': 'error',
      'no-useless-concat': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: PAGE,
    languageOptions: { globals: globals.browser },
    linterOptions: { noInlineConfig: true },
    rules: {
      'no-alert': 'error',
      'no-console': ['error', { allow: ['error'] }],
      'no-restricted-globals': [
        'error',
        ...MISTAKEN.map((name) => ({ name, message: `This is window.${name}: declare it, or say window.${name}.` })),
      ],
      'no-restricted-properties': ['error', { object: 'document', property: 'write', message: TEXT }],
      'no-restricted-syntax': ['error', ...PAGE_SYNTAX, ...LOCAL_STORAGE],
      'no-script-url': 'error',
    },
  },
  {
    files: ['device_storage.js', 'theme.js'].map((name) => `src/tokenfall/web/${name}`),
    rules: { 'no-restricted-syntax': ['error', ...PAGE_SYNTAX] },
  },
  {
    files: ['tests/**/*.mjs'],
    languageOptions: { globals: globals.nodeBuiltin },
    rules: { 'max-lines': 'off', 'max-lines-per-function': 'off' }, // a suite is a list
  },
  { files: ['tests/browser/**/*.js'], languageOptions: { globals: globals.browser } },
];
