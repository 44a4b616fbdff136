/** Profiles of any range, and comparisons of two. */
import { defineStore } from 'pinia';
import * as api from '@/api/profiles';

export type { ProfileComparisonQuery, ProfileFilters, ProfileFormat, ProfileQuery } from '@/api/profiles';

export const useProfilesStore = defineStore('profiles', () => ({
  profile: api.profile,
  comparison: api.profileComparison,
  file: api.profileFile,
}));
