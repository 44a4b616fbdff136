/** What a cgroup is called, and what kind of thing it is. */

import type { Group } from '@/api/types';

/** Nothing longer is shown, whatever a name may be. */
const MAX_LENGTH = 256;
/** Characters shown of a container's ID, as the runtimes' own tools do. */
const SHORT_ID = 12;

/** Text fit to be shown in a line: without control characters, and not endless. */
export function plain(text: string): string {
  const shown = text
    .slice(0, MAX_LENGTH)
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
  return text.length > MAX_LENGTH ? `${shown}…` : shown;
}

/** systemd's escapes undone: `\x2d` is a dash. */
function unescaped(name: string): string {
  return name.replace(/\\x([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}

const kinds: Record<string, string> = {
  '.service': 'service',
  '.scope': 'scope',
  '.slice': 'slice',
  '.mount': 'unit',
  '.socket': 'unit',
  '.swap': 'unit',
};

/** From the path alone, where the server does not say. */
function fromPath(path: string): Group {
  const last = path.slice(path.lastIndexOf('/') + 1);
  if (last === '') return { kind: 'root', name: '/' };
  const id = /(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$/i.exec(last)?.[1];
  if (id !== undefined) return { kind: 'container', name: id.slice(0, SHORT_ID) };
  const user = /^user-(\d+)\.slice$/.exec(last)?.[1];
  if (user !== undefined) return { kind: 'user', name: `user ${user}` };
  const session = /^session-(.+)\.scope$/.exec(last)?.[1];
  if (session !== undefined) return { kind: 'session', name: `session ${session}` };
  const kind = kinds[/\.[a-z]+$/.exec(last)?.[0] ?? ''];
  return { kind: kind ?? 'group', name: unescaped(last) };
}

export interface GroupTitle {
  name: string;
  /** `service`, `container`, `pod`; empty for a plain group. */
  kind: string;
  image: string | null;
}

export function titleOf(path: string, group: Group | null | undefined): GroupTitle {
  const told = fromPath(path);
  const kind = group?.kind ?? told.kind;
  return {
    name: plain(group?.name ?? told.name ?? path),
    kind: kind === 'group' ? '' : kind,
    image: typeof group?.image === 'string' ? plain(group.image) : null,
  };
}
