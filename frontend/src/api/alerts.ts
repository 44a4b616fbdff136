import { http } from './http';
import type {
  AlertEpisode,
  AlertPreview,
  AlertRule,
  AlertRules,
  AlertSilence,
  AlertWindow,
  CurrentAlerts,
  ListedAlertRule,
  NewAlertSilence,
  NewAlertWindow,
} from './types';

/** The most that the server answers with. */
const MAX_EPISODES = 1000;

const addressOf = (rule: string): string => `/api/alerts/rules/${encodeURIComponent(rule)}`;

/** What fires or is pending, the worst first. */
export async function current(): Promise<CurrentAlerts> {
  return (await http.get<CurrentAlerts>('/api/alerts')).data;
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

/** When the rule would have fired over `range` (`7d`) until now. */
export async function preview(rule: AlertRule, range: string, signal: AbortSignal): Promise<AlertPreview> {
  return (await http.post<AlertPreview>('/api/alerts/preview', { rule, range }, { signal })).data;
}

/** Rules made here, as a file of rules or as rules of Prometheus. */
export async function exported(format: 'toml' | 'prometheus'): Promise<Blob> {
  const options = { params: { format }, responseType: 'blob' } as const;
  return (await http.get<Blob>('/api/alerts/rules', options)).data;
}

/** Makes the rules of a file; returns their names. */
export async function imported(toml: string): Promise<string[]> {
  return (await http.post<{ rules: string[] }>('/api/alerts/rules/import', { toml })).data.rules;
}

/** Those that have not ended. */
export async function silences(signal: AbortSignal): Promise<AlertSilence[]> {
  return (await http.get<{ silences: AlertSilence[] }>('/api/alerts/silences', { signal })).data.silences;
}

export async function addSilence(silence: NewAlertSilence): Promise<AlertSilence> {
  return (await http.post<AlertSilence>('/api/alerts/silences', silence)).data;
}

export async function endSilence(id: number): Promise<void> {
  await http.delete(`/api/alerts/silences/${id.toString()}`);
}

/** Maintenance windows, which recur. */
export async function windows(signal: AbortSignal): Promise<AlertWindow[]> {
  return (await http.get<{ windows: AlertWindow[] }>('/api/alerts/maintenance', { signal })).data.windows;
}

export async function addWindow(window: NewAlertWindow): Promise<AlertWindow> {
  return (await http.post<AlertWindow>('/api/alerts/maintenance', window)).data;
}

export async function removeWindow(id: number): Promise<void> {
  await http.delete(`/api/alerts/maintenance/${id.toString()}`);
}
