/**
 * Questions whose responses are being generated, broadcast to the other tabs: one that shows the same conversation follows.
 *
 * A question is sent as pending_turns.js stores it, with its conversation; shared_stream.js shares the response. It must never send a
 * key, or change what another tab stores.
 */

const CHANNEL = 'tokenfall';

export class TabChannel {
  #channel = new BroadcastChannel(CHANNEL);

  /** @param on { shows(conversation) }: its question under way here, or null; { underWay(asked) }: another tab asked this */
  constructor(on) {
    this.#channel.addEventListener('message', ({ data }) => {
      if (data.query) this.announce(data.query, on.pendingIn(data.query));
      else on.onTurn(data);
    });
  }

  /** Sends the question in progress in `conversation` to the other tabs, once its turn can be followed. */
  announce(conversation, turn) {
    if (turn?.id) this.#channel.postMessage({ ...turn, conversation });
  }

  /** Asks the others what is under way in `conversation`. */
  query(conversation) {
    this.#channel.postMessage({ query: conversation });
  }
}
