import { describe, expect, it } from 'vitest';
import { randomPassword } from '@/format/password';
import { eventSnippet, readSnippet, scrapeSnippet } from '@/format/snippets';
import { forecast } from '@/series/forecast';

describe('the forecast of a retention', () => {
  const growth = [
    { interval_seconds: 0, bytes_per_day: 100e6 },
    { interval_seconds: 60, bytes_per_day: 10e6 },
    { interval_seconds: 300, bytes_per_day: 2e6 },
  ];
  const policy = { days: 30, downsampling: true, after: 7, to: '1m' };

  it('is what each resolution takes for as long as it is kept', () => {
    expect(forecast(growth, policy)).toBeCloseTo(1.1 * (7 * 100e6 + 30 * 12e6));
    expect(forecast(growth, { ...policy, days: 90 })).toBeCloseTo(1.1 * (7 * 100e6 + 90 * 12e6));
    expect(forecast(growth, { ...policy, to: '5m' })).toBeCloseTo(1.1 * (7 * 110e6 + 30 * 2e6));
    expect(forecast(growth, { ...policy, downsampling: false })).toBeCloseTo(1.1 * 30 * 112e6);
    // Snapshots stay.
    expect(forecast(growth, { ...policy, to: '5s' })).toBeCloseTo(1.1 * 30 * 112e6);
    expect(forecast(growth, { ...policy, days: 3 })).toBeCloseTo(1.1 * 3 * 112e6);
  });

  it('is not made up where nothing is stored', () => {
    expect(forecast([], policy)).toBeNull();
    expect(forecast(growth.slice(1), policy)).toBeNull();
  });
});

describe('what to do with a token', () => {
  const base = new URL('https://monitor.example:8443/perfwatch/');

  it('has address, path and scheme of this page', () => {
    const scrape = scrapeSnippet(base, 'pwt_x');
    expect(scrape).toContain("targets: ['monitor.example:8443']");
    expect(scrape).toContain('metrics_path: /perfwatch/metrics');
    expect(scrape).toContain('scheme: https');
    expect(scrape).toContain('credentials: pwt_x');
    expect(scrapeSnippet(new URL('http://127.0.0.1:8000/'), 'x')).toContain('metrics_path: /metrics');
    expect(readSnippet(base, 'pwt_x')).toContain('https://monitor.example:8443/perfwatch/api/sources');
    expect(eventSnippet(base, 'pwt_x')).toContain('https://monitor.example:8443/perfwatch/api/events');
  });
});

describe('a generated password', () => {
  it('is long, plain and another one each time', () => {
    const some = Array.from({ length: 200 }, randomPassword);
    expect(new Set(some).size).toBe(200);
    for (const one of some) expect(one).toMatch(/^([2-9a-km-np-z]{5}-){3}[2-9a-km-np-z]{5}$/);
    expect(new Set(some.join('')).size).toBe(33);
  });
});
