import { describe, expect, it } from 'vitest';
import { joinSnippet, labelText, parseLabels } from '@/format/joining';

describe('what to run on a machine that joins', () => {
  it('names the hub with its path, and allows plain HTTP only where it must', () => {
    const run = (base: string) => joinSnippet('service', new URL(base), 'pwj_x');
    expect(run('https://hub.example.org/watch/')).toBe(
      'sudo perfwatch join https://hub.example.org/watch pwj_x && sudo systemctl restart perfwatch',
    );
    expect(run('http://hub:3000/')).toContain('join --allow-http http://hub:3000 pwj_x');
    expect(run('http://127.0.0.1:3000/')).not.toContain('--allow-http');
    const container = joinSnippet('container', new URL('https://hub/'), 'pwj_x');
    expect(container).toContain('--env PERFWATCH_JOIN_URL=https://hub --env PERFWATCH_JOIN_TOKEN=pwj_x');
    expect(container).not.toContain('ALLOW_HTTP');
    expect(joinSnippet('container', new URL('http://hub/'), 'x')).toContain('PERFWATCH_JOIN_ALLOW_HTTP=true');
  });
});

describe('labels', () => {
  it('are read as they are written', () => {
    expect(parseLabels(' role=web , site=fra,')).toEqual({ role: 'web', site: 'fra' });
    expect(labelText({ role: 'web', site: 'fra' })).toBe('role=web,site=fra');
    expect(parseLabels('')).toEqual({});
    for (const bad of ['web', 'role=', '=web']) expect(() => parseLabels(bad)).toThrow('Expected labels');
  });
});
