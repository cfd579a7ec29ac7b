/**
 * Decodes server-sent events (WHATWG HTML, section 9.2.6). Characters, lines, CRLFs and events may be split across reads.
 *
 * Pure. It must never return an event before its blank line.
 */

const LINE_END = /\r\n|\n|\r/g;

export class SSEDecoder {
  #characters = new TextDecoder(); // UTF-8; drops a leading byte order mark, as the standard requires
  #line = ''; // an incomplete line
  #afterCR = false; // the last read ended in CR: a following LF belongs to it
  #type = '';
  #data = [];
  #id = ''; // the last event id

  /** Adds the bytes of one read; returns the completed events: [{ type, data, id }]. */
  push(bytes) {
    let text = this.#characters.decode(bytes, { stream: true });
    if (text === '') return [];
    if (this.#afterCR && text[0] === '\n') text = text.slice(1);
    this.#afterCR = text.endsWith('\r');

    const events = [];
    const lines = text.split(LINE_END);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop();
    for (const line of lines) this.#takeLine(line, events);
    return events;
  }

  #takeLine(line, events) {
    if (line === '') {
      if (this.#data.length > 0) {
        events.push({ type: this.#type || 'message', data: this.#data.join('\n'), id: this.#id });
      }
      this.#type = '';
      this.#data = [];
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#type = value;
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    // Comments (an empty field name) and retry are ignored: the caller decides when to reconnect.
  }
}
