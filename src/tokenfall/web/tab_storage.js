/**
 * Session storage of this tab: drafts, pending turns, and the API key unless it is stored on the device.
 *
 * It must never use localStorage or cookies.
 */

import { BrowserStorage } from './browser_storage.js';

const storage = new BrowserStorage(() => sessionStorage);

export const readTab = (name) => storage.read(name);
export const writeTab = (name, text) => storage.write(name, text);
