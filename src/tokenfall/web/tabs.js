/**
 * Answers under way, as the tabs of this browser tell each other of them: a tab that shows the same conversation follows.
 *
 * A question is told as underway.js keeps it, with its conversation. What is answered they share by shared.js. It must
 * never tell a key, or change what another tab keeps.
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

  /** Tells what is under way in `conversation`, as soon as it has a turn that can be followed. */
  tell(conversation, asked) {
    if (asked?.id) this.#channel.postMessage({ ...asked, conversation });
  }

  /** Asks the others what is under way in `conversation`. */
  ask(conversation) {
    this.#channel.postMessage({ wants: conversation });
  }
}
