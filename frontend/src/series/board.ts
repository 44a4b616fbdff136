/** The panels of a board, and how they are spelled in an address: `cpu:usage_percent,user`. */

/** Fields of one metric type, shown together. */
export interface Panel {
  metric: string;
  fields: readonly string[];
}

/** The server stores no larger board. */
export const MAX_PANELS = 24;
/** A chart with more lines is unreadable. */
export const MAX_FIELDS = 8;

export const panelText = ({ metric, fields }: Panel): string => `${metric}:${fields.join(',')}`;

export function parsePanel(text: string): Panel | null {
  const [, metric, rest] = /^([a-z_]+):(.+)$/.exec(text) ?? [];
  const fields = [...new Set(rest?.split(','))].filter((field) => field !== '').slice(0, MAX_FIELDS);
  return metric === undefined || fields.length === 0 ? null : { metric, fields };
}

export const isSame = (a: Panel, b: Panel): boolean => panelText(a) === panelText(b);

/** The parameters of a board: `p` once for each panel; empty for a board without any. */
export function boardQuery(panels: readonly Panel[], name: string | null = null) {
  const texts = panels.map(panelText);
  return { p: texts.length > 0 ? texts : '', ...(name === null ? {} : { board: name }) };
}

/** Whether a field is on the board, in whichever panel. */
export function hasField(panels: readonly Panel[], metric: string, field: string): boolean {
  return panels.some((panel) => panel.metric === metric && panel.fields.includes(field));
}

/** The board without a field; a panel that is left without any goes, too. */
function withoutField(panels: readonly Panel[], metric: string, field: string): Panel[] {
  return panels
    .map((panel) =>
      panel.metric === metric ? { ...panel, fields: panel.fields.filter((other) => other !== field) } : panel,
    )
    .filter(({ fields }) => fields.length > 0);
}

/** Adds the field in a panel of its own, or removes it. */
export function toggleField(panels: readonly Panel[], metric: string, field: string): Panel[] {
  if (hasField(panels, metric, field)) return withoutField(panels, metric, field);
  return [...panels, { metric, fields: [field] }].slice(0, MAX_PANELS);
}

/** Adds the field to a panel, or removes it from there. */
export function toggleIn(panel: Panel, field: string): Panel {
  const without = panel.fields.filter((other) => other !== field);
  if (without.length < panel.fields.length) return { ...panel, fields: without };
  return { ...panel, fields: [...panel.fields, field].slice(0, MAX_FIELDS) };
}

/** The board with the panel at `index` replaced; without fields it goes. */
export function replaced(panels: readonly Panel[], index: number, panel: Panel | null): Panel[] {
  return panels.flatMap((other, i) => {
    if (i !== index) return [other];
    return panel === null || panel.fields.length === 0 ? [] : [panel];
  });
}

export function moved(panels: readonly Panel[], index: number, by: number): Panel[] {
  const next = [...panels];
  const to = Math.min(next.length - 1, Math.max(0, index + by));
  next.splice(to, 0, ...next.splice(index, 1));
  return next;
}
