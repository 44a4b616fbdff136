/** The keys of the page, and what each does. */
export const shortcuts: readonly { keys: readonly string[]; does: string; needs?: 'fleet' }[] = [
  { keys: ['?'], does: 'Show the keyboard shortcuts' },
  { keys: ['/'], does: 'Search everything: processes, services, containers, fields, boards and pages' },
  { keys: ['h'], does: 'Choose another host', needs: 'fleet' },
  { keys: ['←', '→'], does: 'Move the crosshair; with Shift ten times as far' },
  { keys: ['+', '-'], does: 'Zoom in, zoom out' },
  { keys: ['[', ']'], does: 'Earlier, later' },
  { keys: ['l'], does: 'Back to live' },
  { keys: ['b'], does: 'Back to the previous range' },
  { keys: ['t'], does: 'Choose a range' },
  {
    keys: ['w'],
    does: 'Who used what at the crosshair, or in the shown time; also by a double click on a chart',
  },
  { keys: ['p'], does: 'Which code ran in the shown time' },
  {
    keys: ['↑', '↓', '←', '→', 'Enter'],
    does: 'In a flame graph: move between frames, zoom; Esc shows all, / searches functions',
  },
  { keys: ['Esc'], does: 'Remove the crosshair or the selection' },
];
