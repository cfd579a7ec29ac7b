/**
 * The theme that the reader chose, light or dark, set before the first paint; the system's without a choice.
 *
 * The one script that is no module, since modules run after the first paint. It must never depend on another file:
 * theme_switch.js tells it of a new choice by the event `theme`.
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
  } catch {
    // Storage is forbidden: the system's theme is already set.
  }
  addEventListener('theme', ({ detail }) => show(detail));
  addEventListener('storage', ({ key, newValue }) => key === 'tokenfall:theme' && show(newValue)); // chosen in another tab
}
