/**
 * Finds formulas in Markdown, which are shown as source: `\(…\)`, `\[…\]`, `$…$`, `$$…$$`, `\begin{…}…\end{…}`.
 *
 * Pure. `$…$` must be on one line, with no space inside its ends and no digit after it, so that prices are text. It must
 * never look further than its REACH, so that time is linear.
 */

const REACH = 4000;
const DOLLAR_REACH = 300;

const WHOLE = [
  String.raw`\\\([^]{1,${REACH}}?\\\)`,
  String.raw`\\\[[^]{1,${REACH}}?\\\]`,
  String.raw`\$\$[^]{1,${REACH}}?\$\$`,
  String.raw`\\begin\{([a-zA-Z]{1,20}\*?)\}[^]{1,${REACH}}?\\end\{\1\}`,
  String.raw`\$(?![\s$])(?:\\.|[^\\$\n]){1,${DOLLAR_REACH}}(?<!\s)\$(?!\d)`,
].map((source) => new RegExp(source, 'y'));
const BEGUN = /\\[([]|\$\$|\\begin\{[a-zA-Z]{1,20}\*?\}/y; // shown as a formula before its end is known
const BEGIN_BEGUN = /\\b(?:e(?:g(?:i(?:n(?:\{[a-zA-Z]{0,20}\*?)?)?)?)?)?$/y;
const DOLLAR = new RegExp(String.raw`\$(?![\s$])(?:\\[^\n]?|[^\\$\n]){0,${DOLLAR_REACH}}$`, 'y'); // may become a formula
const DISPLAYED = [[/^\s*\\\[/, () => '\\]'], [/^\s*\$\$/, () => '$$'], [/^\s*\\begin\{([a-zA-Z]{1,20}\*?)\}/, (_, name) => `\\end{${name}}`]];

/** The match of a sticky or global `pattern` from `at` on. */
export function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** The formula that begins at `at`, '' without one; while `isOpen`, it may be incomplete. */
export function formulaAt(text, at, isOpen) {
  for (const pattern of WHOLE) {
    const found = matchAt(pattern, text, at);
    if (found) return found[0];
  }
  if (!isOpen || text.length - at > REACH) return '';
  const isBegun = matchAt(BEGUN, text, at) || (mayBecome(text, at) && /\D/.test(text[at + 1] ?? ''));
  return isBegun ? text.slice(at) : '';
}

/** Whether the text from `at` is a prefix of `\begin{…}`. */
export function isCutAt(text, at) {
  return matchAt(BEGIN_BEGUN, text, at) !== null;
}

/** Whether the `$` at `at` begins a formula if the end of one follows. */
export function mayBecome(text, at) {
  return matchAt(DOLLAR, text, at) !== null;
}

/** The closing mark of a formula that the line `text` begins but does not end; '' without one. */
export function endOfDisplayed(text) {
  for (const [begin, endOf] of DISPLAYED) {
    const found = begin.exec(text);
    if (!found) continue;
    const end = endOf(...found);
    return text.includes(end, found[0].length) ? '' : end;
  }
  return '';
}
