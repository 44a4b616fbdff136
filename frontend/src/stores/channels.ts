/** Channels that alerts are told to, and what was typed of them and not saved yet. */
import { defineStore } from 'pinia';
import * as api from '@/api/channels';
import { toApiError } from '@/api/http';
import type { ChannelDraft } from '@/series/alertChannels';
import { useAuthStore } from './auth';

export type { InputProblem } from '@/api/http';

export const useChannelsStore = defineStore('channels', () => {
  const auth = useAuthStore();
  /** By the name of the channel; that of a new one is empty. Only in memory, as there may be secrets in it. */
  const kept = new Map<string, ChannelDraft>();
  let owner: string | undefined;

  /** Of whoever is signed in: nobody else is to find their secrets. */
  function drafts(): Map<string, ChannelDraft> {
    if (owner !== auth.user?.username) kept.clear();
    owner = auth.user?.username;
    return kept;
  }

  return {
    drafts,
    channels: api.channels,
    putChannel: api.putChannel,
    deleteChannel: api.deleteChannel,
    testChannel: api.testChannel,
    toApiError,
  };
});
