/** What to run on a machine that joins the fleet, ready to be copied. */

export type JoinWay = 'service' | 'container';

/** `base`: where this page is served, which is the hub's address. */
export function joinSnippet(way: JoinWay, base: URL, token: string): string {
  const hub = `${base.origin}${base.pathname.replace(/\/$/, '')}`;
  const isOpen = base.protocol === 'http:' && !isLoopback(base.hostname);
  if (way === 'service') {
    const allow = isOpen ? ' --allow-http' : '';
    return `sudo perfwatch join${allow} ${hub} ${token} && sudo systemctl restart perfwatch`;
  }
  return [
    'docker run --detach --name perfwatch --restart unless-stopped --privileged --pid host --uts host \\',
    '  --volume /proc:/host/proc:ro --volume /sys:/host/sys:ro --volume /:/host/root:ro,rslave \\',
    '  --volume perfwatch:/var/lib/perfwatch --env PERFWATCH_PROCFS=/host/proc \\',
    '  --env PERFWATCH_SYSFS=/host/sys --env PERFWATCH_ROOTFS=/host/root \\',
    `  --env PERFWATCH_JOIN_URL=${hub} --env PERFWATCH_JOIN_TOKEN=${token} \\`,
    ...(isOpen ? ['  --env PERFWATCH_JOIN_ALLOW_HTTP=true \\'] : []),
    '  perfwatch-backend agent',
  ].join('\n');
}

/** Whether a host name means the machine itself, whichever that is. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host.startsWith('127.');
}

/** Labels as people write them: `role=web,site=fra`. */
export function labelText(labels: Record<string, string>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** The labels that a text names. Throws with what is wrong. */
export function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const part of text.split(',').map((one) => one.trim())) {
    if (part === '') continue;
    const [name = '', value = ''] = part.split(/=(.*)/s).map((one) => one.trim());
    if (name === '' || value === '')
      throw new Error(`Expected labels such as role=web,site=fra, not ${part}`);
    labels[name] = value;
  }
  return labels;
}
