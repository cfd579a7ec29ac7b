/**
 * Broadcasts pending turns to the other tabs; a tab with the same conversation follows them.
 *
 * A turn is sent as pending_turns.js stores it, with its conversation; shared_stream.js shares the response. It must
 * never send an API key.
 */

const CHANNEL = 'tokenfall';

export class TabChannel {
  #channel = new BroadcastChannel(CHANNEL);

  /** @param on pendingIn(conversation) returns its pending turn in this tab, or null; onTurn(turn): a turn of another tab */
  constructor(on) {
    this.#channel.addEventListener('message', ({ data }) => {
      if (data.query) this.announce(data.query, on.pendingIn(data.query));
      else on.onTurn(data);
    });
  }

  /** Sends the pending turn of `conversation` to the other tabs, if it has an id and can be followed. */
  announce(conversation, turn) {
    if (turn?.id) this.#channel.postMessage({ ...turn, conversation });
  }

  /** Asks the other tabs for a pending turn in `conversation`. */
  query(conversation) {
    this.#channel.postMessage({ query: conversation });
  }
}
