/**
 * Persistent storage of this browser: the theme, whether the list of conversations is hidden, the settings of
 * conversations, and the API key if the user chose that.
 *
 * It must never store a message (tab_storage.js does).
 */

import { BrowserStorage } from './browser_storage.js';

const storage = new BrowserStorage(() => localStorage);

export const readDevice = (name) => storage.read(name);
export const writeDevice = (name, text) => storage.write(name, text);
