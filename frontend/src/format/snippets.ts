/** What to do with a new API token, ready to be copied. */

/** `base`: where this page is served. */
const targetOf = (base: URL): string => base.host;
const pathOf = (base: URL, path: string): string => `${base.pathname.replace(/\/$/, '')}${path}`;

/** A scrape configuration for Prometheus. */
export function scrapeSnippet(base: URL, token: string): string {
  return [
    'scrape_configs:',
    '  - job_name: perfwatch',
    `    scheme: ${base.protocol === 'https:' ? 'https' : 'http'}`,
    `    metrics_path: ${pathOf(base, '/metrics')}`,
    '    authorization:',
    `      credentials: ${token}`,
    '    static_configs:',
    `      - targets: ['${targetOf(base)}']`,
  ].join('\n');
}

export function readSnippet(base: URL, token: string): string {
  const url = `${base.origin}${pathOf(base, '/api/sources')}`;
  return `curl --header 'authorization: Bearer ${token}' ${url}`;
}

/** Notes an event from a script. */
export function eventSnippet(base: URL, token: string): string {
  return [
    `curl --header 'authorization: Bearer ${token}' --header 'content-type: application/json' \\`,
    `  --data '{"text":"Deployed shop 1.42","labels":{"version":"1.42"}}' \\`,
    `  ${base.origin}${pathOf(base, '/api/events')}`,
  ].join('\n');
}
