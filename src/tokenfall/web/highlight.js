/**
 * Splits source code into pieces of a kind: comment, string, number, keyword, or '' for everything else.
 *
 * The code may be streamed: each character is read once, and undecided text is held back, at most a word of 12 characters
 * (no keyword is longer). It must never touch the DOM, change or lose a character, or change a returned kind.
 */

const WORD = /[\w$\u0080-\uffff]+/y;

/** A piece from `begin` to `end`, if `after` matches the two characters before it. */
const comment = (begin, end = '\n', after = /$/) => ({ kind: 'comment', begin, end, after, spans: true });
const string = (begin, spans, after = /$/) => ({ kind: 'string', begin, end: begin, after, spans });

const HASH = comment('#', '\n', /(^|[\s;)\]},:])$/);
const SLASH = [comment('//'), comment('/*', '*/')];
const QUOTES = [string('"""', true), string('"'), string("'"), string('`', true)];
const MARKUP = [comment('<!--', '-->'), string('"', true, /=$/), string("'", true, /=$/)];

const FLOW = ' if else for while do case break continue return true false null import from in not and or class as ';
const C = `${FLOW}switch this new struct enum interface public private static const let var void int bool try \
catch throw async await export function func fn use mut match `;
const SCRIPT = `${FLOW}def elif is with try except raise lambda async await yield None True False then fi done end `;
const SQL = `${FLOW}select where insert into values update set delete create table join left on group by order limit `;

/** Languages by name: [rules, keywords]. In Rust, a single quote may begin a lifetime, so it begins no string. */
const LANGUAGES = new Map([
  ['js jsx ts tsx json javascript typescript go c cpp c++ java kotlin cs swift', [...SLASH, ...QUOTES], C],
  ['rust rs', [...SLASH, string('"', true)], C],
  ['py python sh bash shell ruby', [HASH, string("'''", true), ...QUOTES], SCRIPT],
  ['yaml yml toml ini', [HASH, string('"'), string("'", false, /\W$/)], SCRIPT],
  ['sql', [comment('--'), SLASH[1], ...QUOTES], SQL + SQL.toUpperCase()],
  ['html xml', MARKUP, ''],
].flatMap(([names, ...rest]) => names.split(' ').map((name) => [name, rest])));

export class Highlighter {
  /** See LANGUAGES. */
  #rules;
  #held = '';
  /** The unfinished piece: its rule, or the { kind } of a word or number. */
  #open = null;
  /** The two characters before the held text. */
  #last = '';

  /** @param name the language, as in a fence; for an unknown one, every kind is '' */
  constructor(name) {
    this.#rules = LANGUAGES.get(name.toLowerCase());
  }

  /** Adds code; returns [kind, text] pieces. With `isLast`, nothing is held back. */
  take(text, isLast) {
    if (!this.#rules) return [['', text]];
    const all = this.#held + text;
    const pieces = [];
    let at = 0;
    while (at < all.length) {
      const open = this.#open;
      const [kind, end] = open ? this.#continue(all, at, isLast) : this.#begin(all, at, isLast);
      if (end === at && open === this.#open) break;
      const piece = all.slice(at, end);
      pieces.push([kind, piece]);
      this.#last = (this.#last + piece).slice(-2);
      at = end;
    }
    this.#held = all.slice(at);
    return pieces;
  }

  #begin(all, at, isLast) {
    for (const rule of this.#rules[0]) {
      if (!rule.after.test(this.#last)) continue;
      if (all.startsWith(rule.begin, at)) {
        this.#open = rule;
        return [rule.kind, at + rule.begin.length];
      }
      if (!isLast && isStart(rule.begin, all, at)) return ['', at];
    }
    const end = endOfWord(all, at);
    const word = all.slice(at, end);
    if (word === '') return ['', at + 1];
    const mayGrow = end === all.length && !isLast && word.length < 13;
    return mayGrow ? ['', at] : this.#word(this.#kindOf(word), all, end);
  }

  #kindOf(word) {
    const [rules, words] = this.#rules;
    if (/^\d/.test(word)) return 'number';
    const isKeyword = rules === MARKUP ? /<\/?$/.test(this.#last) : words.includes(` ${word} `) && !/[.$@-]$/.test(this.#last);
    return isKeyword ? 'keyword' : '';
  }

  #word(kind, all, end) {
    this.#open = end === all.length ? { kind } : null;
    return [kind, end];
  }

  #continue(all, at, isLast) {
    const { kind, end, spans } = this.#open;
    if (!end) return this.#word(kind, all, endOfWord(all, at));
    for (let i = at; i < all.length; i += 1) {
      const isEscape = kind === 'string' && all[i] === '\\';
      if (!isLast && isStart(isEscape ? '\\ ' : end, all, i)) return [kind, i];
      if (isEscape) i += 1;
      else if (all.startsWith(end, i) || (!spans && all[i] === '\n')) {
        this.#open = null;
        return [kind, all[i] === '\n' ? i + 1 : i + end.length];
      }
    }
    return [kind, all.length];
  }
}

function endOfWord(text, at) {
  WORD.lastIndex = at;
  return WORD.test(text) ? WORD.lastIndex : at;
}

/** Whether the rest of `all` from `at` is a prefix of `mark`. */
function isStart(mark, all, at) {
  return all.length - at < mark.length && mark.startsWith(all.slice(at));
}
