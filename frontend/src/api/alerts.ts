import { http } from './http';
import type { Alert, AlertEpisode, AlertRule, AlertRules, ListedAlertRule } from './types';

/** The most that the server answers with. */
const MAX_EPISODES = 1000;

const addressOf = (rule: string): string => `/api/alerts/rules/${encodeURIComponent(rule)}`;

/** What fires or is pending, the worst first. */
export async function current(): Promise<Alert[]> {
  return (await http.get<{ alerts: Alert[] }>('/api/alerts')).data.alerts;
}

/** What was raised, the newest first; what still is, too. */
export async function past(signal: AbortSignal): Promise<AlertEpisode[]> {
  const params = { limit: MAX_EPISODES };
  return (await http.get<{ episodes: AlertEpisode[] }>('/api/alerts/history', { params, signal })).data
    .episodes;
}

export async function acknowledge(episode: string, note: string | null): Promise<void> {
  await http.post(`/api/alerts/${encodeURIComponent(episode)}/acknowledge`, { note });
}

export async function rules(signal: AbortSignal): Promise<AlertRules> {
  return (await http.get<AlertRules>('/api/alerts/rules', { signal })).data;
}

export async function putRule(rule: AlertRule): Promise<ListedAlertRule> {
  return (await http.put<ListedAlertRule>(addressOf(rule.name), rule)).data;
}

export async function deleteRule(name: string): Promise<void> {
  await http.delete(addressOf(name));
}
