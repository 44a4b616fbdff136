/** Where the server is below its origin: the page's <base> without the slash at its end, `` if it is at the root. */
export const basePath = (document.querySelector('base')?.getAttribute('href') ?? '/').replace(/\/+$/, '');

/** Whether the server is for the machines of a fleet, rather than for the one that it runs on. */
export const isHub = document.documentElement.dataset.role === 'hub';
