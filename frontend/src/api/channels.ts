import { http } from './http';
import type { AlertChannel, AlertChannelTest, ListedAlertChannel } from './types';

const PATH = '/api/alerts/channels';
/** A receiver may be slow, and some are sent two messages. */
const TEST_TIMEOUT_MS = 90_000;

const addressOf = (channel: string): string => `${PATH}/${encodeURIComponent(channel)}`;

/** By name, without their secrets; for administrators. */
export async function channels(signal: AbortSignal): Promise<ListedAlertChannel[]> {
  return (await http.get<{ channels: ListedAlertChannel[] }>(PATH, { signal })).data.channels;
}

/** A secret that is left out keeps its value. */
export async function putChannel(channel: AlertChannel): Promise<ListedAlertChannel> {
  return (await http.put<ListedAlertChannel>(addressOf(channel.name), channel)).data;
}

export async function deleteChannel(name: string): Promise<void> {
  await http.delete(addressOf(name));
}

/** Sends a test message. */
export async function testChannel(name: string): Promise<AlertChannelTest> {
  const options = { timeout: TEST_TIMEOUT_MS };
  return (await http.post<AlertChannelTest>(`${addressOf(name)}/test`, undefined, options)).data;
}
