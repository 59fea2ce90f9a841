/** Small things that the table and the view of a package share. */

import type { Audit } from './data.ts'
import { h } from './dom.ts'
import { VERDICTS, type Verdict } from './select.ts'

/** What a column of nine has room for; the criteria's titles stand beside it in full. */
export const SHORT = [
  'Complete',
  'Hydra',
  'Data',
  'Model',
  'Files',
  'W&B',
  'Configs',
  'Evaluation',
  'Trial',
]

export const STATES: Record<string, { name: string; sign: string }> = {
  m: { name: 'met', sign: '✓' },
  v: { name: 'violated', sign: '✗' },
  u: { name: 'unknown', sign: '?' },
  '-': { name: 'not judged', sign: '·' },
}

/** The verdict as a word with a sign, so that colour alone says nothing. */
export function verdictBadge(verdict: string): HTMLElement {
  const sign = { r: '✓', n: '✗', f: '!' }[verdict] ?? ''
  return h(
    'span',
    { class: `badge ${verdict}` },
    h('span', { 'aria-hidden': 'true' }, sign),
    ` ${VERDICTS[verdict as Verdict]}`,
  )
}

/** Nine small fields, one for each criterion. */
export function criteriaStrip(audit: Audit, index: number): HTMLElement {
  const states = Array.from({ length: 9 }, (_, i) => audit.criterion(index, i + 1))
  const violated = states.flatMap((state, i) => (state === 'v' ? [i + 1] : []))
  const told = violated.length ? `violates criteria ${violated.join(', ')}` : 'violates none'
  return h(
    'span',
    { class: 'strip', role: 'img', 'aria-label': states[0] === '-' ? 'not judged' : told },
    ...states.map((state, i) =>
      h(
        'i',
        {
          class: `state-${state === '-' ? 'none' : state}`,
          title: criterionTitle(audit, i + 1, state),
        },
        `${i + 1}`,
      ),
    ),
  )
}

/** `2 Hydra integration: violated`. */
export function criterionTitle(audit: Audit, number: number, state: string): string {
  return `${number} ${audit.overview.criteria[number - 1]}: ${STATES[state]!.name}`
}

/** A commit's first letters; other versions as they are. */
export function shortVersion(version: string | null | undefined): string {
  if (!version) return ''
  return /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(version) ? version.slice(0, 10) : version
}
