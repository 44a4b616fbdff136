/** Opens the profile of a range. */
import { useRouter } from 'vue-router';
import { profileQuery, type ProfileView } from '@/series/profileView';
import { rangeQuery, type Range } from '@/series/range';

export function useOpenProfile() {
  const router = useRouter();

  function openProfile(range: Range, view: Partial<ProfileView> = {}): void {
    void router.push({ path: '/profile', query: { ...profileQuery(view), ...rangeQuery(range) } });
  }

  return { openProfile };
}
