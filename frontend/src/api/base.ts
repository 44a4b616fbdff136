/** Where the server is below its origin: the page's <base> without the slash at its end, `` if it is at the root. */
export const basePath = (document.querySelector('base')?.getAttribute('href') ?? '/').replace(/\/+$/, '');
