/**
 * Questions whose responses are being generated, broadcast to the other tabs: one that shows the same conversation follows.
 *
 * A question is sent as pending_turns.js stores it, with its conversation; shared_stream.js shares the response. It must never send a
 * key, or change what another tab stores.
 */

const CHANNEL = 'tokenfall';

export class Tabs {
  #channel = new BroadcastChannel(CHANNEL);

  /** @param on { shows(conversation) }: its question under way here, or null; { underWay(asked) }: another tab asked this */
  constructor(on) {
    this.#channel.addEventListener('message', ({ data }) => {
      if (data.wants) this.tell(data.wants, on.shows(data.wants));
      else on.underWay(data);
    });
  }

  /** Sends the question in progress in `conversation` to the other tabs, once its turn can be followed. */
  tell(conversation, asked) {
    if (asked?.id) this.#channel.postMessage({ ...asked, conversation });
  }

  /** Asks the others what is under way in `conversation`. */
  ask(conversation) {
    this.#channel.postMessage({ wants: conversation });
  }
}
