/**
 * Pairs runs of `*`, `_` and `~` to emphasis. Pure, in linear time.
 */

export const REACH = 4000; // maximum distance of a mark and its closing mark
export const WORD = /[a-z\d]/i;

const MAX_OPEN = 32; // open runs; the oldest becomes text
const MARK = /[\p{P}\p{S}]/u;
const EAST_ASIAN = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\u3000-\u303f\uff00-\uffef]/u;

export const textOf = (text) => ({ type: 'text', text });

/** Whether a run of marks flanks `inner` and not `outer`; less strict in East Asian text. */
function flanks(inner, outer) {
  if (inner.trim() === '') return false;
  return !MARK.test(inner) || outer.trim() === '' || MARK.test(outer) || EAST_ASIAN.test(outer);
}

/** Whether a run of marks can open and close emphasis (CommonMark 6.2). */
export function rolesOf(sign, before, size, after) {
  const [left, right] = [flanks(after, before), flanks(before, after)];
  if (sign === '_') {
    return { canOpen: left && (!right || MARK.test(before)), canClose: right && (!left || MARK.test(after)) };
  }
  const inWord = WORD.test(before) && WORD.test(after) && (size === 1 || /\d/.test(after));
  return { canOpen: left && !inWord, canClose: right };
}

/** The nodes of `pieces` with paired runs of marks, and the unpaired runs that can open. */
export function paired(pieces) {
  const nodes = [];
  const openers = [];
  for (const piece of pieces) {
    if (piece.canClose) close(piece, nodes, openers);
    nodes.push(piece.sign ? textOf(piece.sign.repeat(piece.remaining)) : piece);
    if (piece.remaining > 0 && piece.canOpen) openers.push({ ...piece, index: nodes.length - 1 });
    if (openers.length > MAX_OPEN) openers.shift();
  }
  return { nodes, openers };
}

/** Pairs a run with earlier ones: two marks with two, one with one. Runs opened in between become text. */
function close(run, nodes, openers) {
  for (let i = openers.length - 1; i >= 0 && run.remaining > 0; i -= 1) {
    const opener = openers[i];
    if (opener.sign !== run.sign || run.at - opener.at > REACH) continue;
    for (let size; (size = Math.min(opener.remaining, run.remaining) > 1 ? 2 : opener.remaining & run.remaining & 1); run.remaining -= size) {
      wrap(nodes, opener, size);
      openers.length = i + 1;
    }
    if (opener.remaining === 0) openers.splice(i, 1);
  }
}

export function wrap(nodes, opener, size) {
  const type = opener.sign === '~' ? 'strike' : size === 2 ? 'strong' : 'em';
  nodes.push({ type, children: merged(nodes.splice(opener.index + 1)) });
  opener.remaining -= size;
  nodes[opener.index] = textOf(opener.sign.repeat(opener.remaining));
}

export function merged(nodes) {
  const result = [];
  for (const node of nodes) {
    const last = result.at(-1);
    if (node.type === 'text' && last?.type === 'text') last.text += node.text;
    else if (node.text !== '') result.push(node.type === 'text' ? textOf(node.text) : node);
  }
  return result;
}
