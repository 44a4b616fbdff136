// Sets the theme before the first paint: from the URL, else the stored preference, else as the system is.
(function () {
  var theme = new URLSearchParams(location.search).get('theme');
  if (!theme) {
    try {
      theme = JSON.parse(localStorage.getItem('perfwatch.preferences') || '{}').theme;
    } catch {
      theme = null;
    }
  }
  if (theme !== 'light' && theme !== 'dark')
    theme = matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme === 'light' ? 'light' : 'dark';
})();
