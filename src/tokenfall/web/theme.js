/**
 * Sets before the first paint: the theme (light, dark or the system's), and whether the list of conversations is hidden
 * (sidebar.js).
 *
 * Not a module, because modules run after the first paint. theme_switch.js dispatches `theme` after a change.
 */

{
  const show = (chosen) => {
    const theme = ['light', 'dark'].includes(chosen) ? chosen : '';
    document.documentElement.style.colorScheme = theme;
    for (const meta of document.querySelectorAll('meta[name=theme-color]')) {
      const own = meta.dataset.theme;
      if (theme) meta.media = theme === own ? 'all' : 'not all';
      else meta.media = `(prefers-color-scheme: ${own})`;
    }
  };

  try {
    show(localStorage.getItem('tokenfall:theme'));
    document.documentElement.classList.toggle('list-hidden', localStorage.getItem('tokenfall:list') === 'hidden');
  } catch {
    // Storage is forbidden: the theme of the system is used.
  }
  addEventListener('theme', ({ detail }) => show(detail));
  addEventListener('storage', ({ key, newValue }) => key === 'tokenfall:theme' && show(newValue)); // changed in another tab
}
