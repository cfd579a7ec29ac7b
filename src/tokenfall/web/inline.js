/**
 * Parses inline Markdown into plain nodes: { type: text|code|math, text }, { type: strong|em|strike, children },
 * { type: link, href, title, children } and { type: break }.
 *
 * CommonMark and GFM, except: HTML is text, but `<br>` is a break; an image is a link; a `*` between letters or digits
 * opens nothing; one mark closes one, two close two; nothing spans more than REACH, so that time is linear and a streamed
 * text settles. It must never touch the DOM, or return a URL that is not http, https or mailto.
 */

import { merged, paired, REACH, rolesOf, textOf, WORD, wrap } from './emphasis.js';
import { formulaAt, isCutAt, matchAt, mayBecome } from './math.js';

const LABEL_REACH = 300; // from [ to ]: at most that much of a streamed text is held back
const ADDRESS_REACH = 2000;

const NEXT = /(?<! ) *\n|([*_~`])\1*|!?\[|[\\\]!<&$]|https?:\/\//gi;
const CODE = /(`+)(?!`)([^]{0,4000}?[^`])\1(?!`)/y;
const ESCAPED = /\\([!-/:-@[-`{-~])/g;
const ENTITY = /&(?:#x([\da-f]{1,6})|#(\d{1,7})|(amp|lt|gt|quot|apos|nbsp|ndash|mdash|hellip|larr|rarr|times|middot|copy|deg));/gi;
const NAMED = {
  amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', ndash: '–', mdash: '—', hellip: '…', larr: '←',
  rarr: '→', times: '×', middot: '·', copy: '©', deg: '°',
};
const BREAK = { type: 'break' };
const SIMPLE = [
  [/(?: {2,}|\\)\n|<br ?\/?>/iy, () => BREAK],
  [/ ?\n/y, () => textOf(' ')],
  [/<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/iy, (_, address) => linkTo(address)],
  [new RegExp(ESCAPED, 'y'), (_, sign) => textOf(sign)],
  [new RegExp(ENTITY, 'iy'), (...entity) => textOf(decoded(...entity))],
];
const SIMPLE_BEGUN = /(?:[\\!]|&(?:#x?[\da-f]{0,7}|[a-z]{0,6})|<(?:br \/?|[a-z][^\s<>]{0,2000})?)$/iy;
// After a label, in round brackets: a URL with balanced brackets or in <>, and a title; and an incomplete one.
const IN_ADDRESS = String.raw`(?:\\.|[^\s()[\]\\])`;
const ADDRESS = String.raw`(?:${IN_ADDRESS}|\(${IN_ADDRESS}*\))*`;
const TARGET = new RegExp(
  String.raw`\(\s{0,8}(?:<([^<>\n]*)>|(${ADDRESS}))` +
  String.raw`(?:\s{1,8}("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\((?:\\.|[^()\\])*\)))?\s{0,8}\)`, 'sy');
const TARGET_BEGUN = new RegExp(
  String.raw`(?:\(\s{0,8}(?:<([^<>\n]*)>?|(${ADDRESS}(?:\(${IN_ADDRESS}*)?)\\?)` +
  String.raw`(?:\s{1,8}(?:"(?:\\.|[^"\\])*\\?"?|'(?:\\.|[^'\\])*\\?'?|\((?:\\.|[^()\\])*\\?\)?)?\s{0,8})?)?$`, 'sy');
const BARE = /https?:\/\/[^\s<>"`*[\]|\\^{}\u3000-\u303f\uff00-\uffef]{1,2000}/iy;
const BARE_BEGUN = /(?<![a-z\d])h(?:t(?:t(?:ps?(?::\/?)?)?)?)?$/i;
const SCHEME = /^(?:https?:\/\/|mailto:)/i;
const SCHEMES = ['https://', 'http://', 'mailto:'];
const SEAM = /^(?:[\p{L}\p{N}](?![hH])[\p{L}\p{N}]|[\p{L}\p{N},.;:] [\p{L}\p{N}])/u;

/**
 * `open`: more text may follow. Unclosed marks then count as closed at the end, and ambiguous text is omitted. `settled`
 * is the length of the prefix that later text cannot change: the prefix and the rest, parsed separately, give the same
 * nodes.
 */
export function parseInline(text, open = false) {
  return new Scan(text, open);
}

/** The normalized URL; '' if it is not safe to link to. */
export function safeAddress(raw) {
  if (!SCHEME.test(raw) || /[\s\p{C}"<>`]/u.test(raw) || !URL.canParse(raw)) return '';
  const url = new URL(raw);
  return url.username || url.password ? '' : url.href;
}

const unescape = (text) => text.replace(ESCAPED, '$1').replace(ENTITY, decoded);

function decoded(_, hex, decimal, name) {
  if (name) return NAMED[name.toLowerCase()];
  const code = hex ? parseInt(hex, 16) : Number(decimal);
  const bad = code < 32 || (code > 126 && code < 160) || (code > 0xd7ff && code < 0xe000) || code > 0x10ffff;
  return bad ? '\ufffd' : String.fromCodePoint(code);
}

function withoutTrailingMarks(address) {
  let surplus = address.split(')').length - address.split('(').length;
  let end = address.length;
  for (; /[?!.,:;'_~)]/.test(address[end - 1]); end -= 1) {
    if (address[end - 1] === ')' && (surplus -= 1) < 0) break;
  }
  return address.slice(0, end);
}

function linkTo(address) {
  const href = safeAddress(address);
  return href ? linkOf(href, '', [textOf(address)]) : textOf(address);
}

/** Links do not nest; a link without text shows its URL. */
function linkOf(href, title, children) {
  return { type: 'link', href, title, children: children.length > 0 ? withoutLinks(children) : [textOf(href)] };
}

function withoutLinks(nodes) {
  return nodes.flatMap(({ children, ...node }) => {
    if (!children) return [node];
    return node.type === 'link' ? withoutLinks(children) : [{ ...node, children: withoutLinks(children) }];
  });
}

/** One pass over a text. Pieces are nodes, texts with their position `at`, and runs of marks. */
class Scan {
  #text;
  #open;
  #pieces = [];
  #brackets = [];
  #undecided = Infinity; // the position from which text may become a formula

  constructor(text, open) {
    this.#text = text;
    this.#open = open;
    for (let at = 0; at < text.length; ) at = this.#step(at);
    const nodes = this.#finish();
    this.nodes = merged(nodes);
    this.settled = open ? this.#seamIn(nodes) : text.length;
  }

  #step(at) {
    const found = matchAt(NEXT, this.#text, at);
    const stop = found?.index ?? this.#text.length;
    if (stop > at) this.#pieces.push({ ...textOf(this.#text.slice(at, stop)), at });
    return found ? this.#take(found[0], stop) : stop;
  }

  #take(mark, at) {
    switch (mark[0]) {
      case '`': return this.#takeCode(at, mark.length);
      case '*': case '_': case '~': return this.#takeRun(mark, at);
      case ']': return this.#takeBracketEnd(at);
      case 'h': case 'H': return this.#takeBare(at);
      case '$': case '\\': return this.#takeFormula(at);
      default: return mark.endsWith('[') ? this.#takeBracket(mark, at) : this.#takeSimple(at);
    }
  }

  #takeFormula(at) {
    const text = formulaAt(this.#text, at, this.#open);
    if (text) return this.#put({ type: 'math', text }, at + text.length);
    if (this.#open && isCutAt(this.#text, at)) return this.#text.length;
    if (this.#text[at] !== '$') return this.#takeSimple(at);
    if (this.#open && mayBecome(this.#text, at)) this.#undecided = Math.min(this.#undecided, at);
    return this.#literal(at, 1);
  }

  #takeSimple(at) {
    for (const [pattern, pieceOf] of SIMPLE) {
      const found = matchAt(pattern, this.#text, at);
      if (found) return this.#put(pieceOf(...found), at + found[0].length);
    }
    if (this.#open && matchAt(SIMPLE_BEGUN, this.#text, at)) return this.#text.length;
    return this.#put(textOf(this.#text[at]), at + 1);
  }

  #put(piece, next) {
    this.#pieces.push(piece);
    return next;
  }

  #literal(at, size) {
    const next = at + size;
    return this.#open && next === this.#text.length ? next : this.#put(textOf(this.#text.slice(at, next)), next);
  }

  #takeCode(at, size) {
    const code = matchAt(CODE, this.#text, at);
    const next = code ? at + code[0].length : this.#text.length;
    if (!code && (!this.#open || next - at > REACH)) return this.#literal(at, size);
    const raw = code?.[2] ?? this.#text.slice(at + size).replace(/`+$/, '').trimEnd();
    const text = raw.replaceAll('\n', ' ');
    return this.#put({ type: 'code', text: text.trim() ? text.replace(/^ | $/g, '') : text }, next);
  }

  #takeBare(at) {
    const bare = matchAt(BARE, this.#text, at);
    if (!bare || WORD.test(this.#text[at - 1] ?? '')) return this.#literal(at, this.#text.indexOf('//', at) + 2 - at);
    const address = withoutTrailingMarks(bare[0]);
    const next = this.#put(linkTo(address), at + address.length);
    return this.#open && at + bare[0].length === this.#text.length ? this.#text.length : next;
  }

  #takeRun(mark, at) {
    const [sign, size, next] = [mark[0], mark.length, at + mark.length];
    const known = sign === '~' ? size === 2 : size <= 3;
    if (!known || (this.#open && next === this.#text.length)) return this.#literal(at, size);
    const before = [...this.#text.slice(Math.max(0, at - 2), at)].at(-1) ?? '';
    const [after = ''] = this.#text.slice(next, next + 2);
    return this.#put({ sign, at, remaining: size, ...rolesOf(sign, before, size, after) }, next);
  }

  #takeBracket(mark, at) {
    this.#brackets.push({ at, image: mark === '![', piece: this.#pieces.length });
    return this.#put(textOf(mark), at + mark.length);
  }

  #takeBracketEnd(at) {
    const bracket = this.#brackets.pop();
    if (bracket && at - bracket.at <= LABEL_REACH) {
      const target = matchAt(TARGET, this.#text, at + 1);
      if (target && target[0].length <= ADDRESS_REACH) return this.#takeLink(bracket, target);
      const grows = this.#open && this.#text.length - at <= ADDRESS_REACH;
      const begun = grows ? matchAt(TARGET_BEGUN, this.#text, at + 1) : null;
      if (begun) return this.#beginLink(bracket, (begun[1] ?? begun[2] ?? '').toLowerCase());
    }
    return this.#put(textOf(']'), at + 1);
  }

  #takeLink(bracket, { 0: whole, 1: angled, 2: raw, 3: title = '', index }) {
    this.#putLink(bracket, safeAddress(unescape(angled ?? raw)), unescape(title.slice(1, -1)));
    if (!bracket.image) this.#brackets.length = 0;
    return index + whole.length;
  }

  /** A link to an unsafe URL becomes its text. */
  #putLink({ piece }, href, title) {
    const inside = merged(paired(this.#pieces.splice(piece).slice(1)).nodes);
    if (href === '') this.#pieces.push(...inside);
    else this.#pieces.push(linkOf(href, title, inside));
  }

  /** A link with an incomplete URL is shown as a link once its scheme is complete. */
  #beginLink(bracket, address) {
    const empty = this.#pieces.length === bracket.piece + 1;
    if (empty || SCHEMES.some((scheme) => scheme.startsWith(address))) this.#pieces.length = bracket.piece;
    else this.#putLink(bracket, SCHEME.test(address) ? null : '', '');
    return this.#text.length;
  }

  #finish() {
    const end = this.#text.length;
    const undecided = this.#open && this.#brackets.find(({ at }) => end - at <= LABEL_REACH);
    if (undecided) this.#pieces.length = undecided.piece;
    const last = this.#pieces.at(-1);
    if (last?.type === 'text') last.text = (this.#open ? last.text.replace(BARE_BEGUN, '') : last.text).trimEnd();
    const { nodes, openers } = paired(this.#pieces);
    for (const opener of openers.toReversed()) {
      if (!this.#open || end - opener.at > REACH) break;
      while (opener.remaining > 0) wrap(nodes, opener, Math.min(opener.remaining, 2));
    }
    return nodes;
  }

  /** The end of the settled prefix: a position in plain text that no mark or URL can span. */
  #seamIn(nodes) {
    for (const { text, at } of nodes.toReversed()) {
      if (at === undefined) continue;
      for (let end = Math.min(at + text.length - 1, this.#undecided); end > at; end -= 1) {
        if (SEAM.test(this.#text.slice(end - 1, end + 2))) return end;
      }
    }
    return 0;
  }
}
