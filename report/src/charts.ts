/** The charts, each with its numbers as a table beside it. */

import * as Plot from '@observablehq/plot'
import type { Audit, JudgementSummary, Tally } from './data.ts'
import { counted, fill, h, number, percent, whole, type Child } from './dom.ts'
import { shortVersion, SHORT } from './pieces.ts'
import {
  errorBins,
  groups,
  histories,
  ruleCounts,
  secondBins,
  standing,
  type Bin,
  type Filter,
  type Group,
  type RuleCount,
} from './select.ts'

/** Narrows the filter by what was clicked on. */
export type Narrow = (change: Partial<Filter>) => void

export interface Context {
  audit: Audit
  narrow: Narrow
  open: (index: number) => void
}

const RULES_SHOWN = 20
const RULES_NARROW = 14
const GROUPS_SHOWN = 16
/** Below this many pixels names stand above bars, not beside them. */
const NARROW = 520
/** Pixels of a letter in the fonts that a page may meet, rather too many than too few. */
const LETTER = 6.6

interface Table {
  head: string[]
  rows: Child[][]
}

/** A titled place for one chart, which is drawn again whenever its width or the data changes. */
class Card {
  readonly element: HTMLElement
  readonly controls = h('div', { class: 'controls' })
  readonly #title: string
  readonly #chart: HTMLElement
  readonly #table: HTMLElement
  readonly #details: HTMLDetailsElement
  readonly #draw: (width: number) => { told: string; chart: Node; table: () => Table } | null
  #width = 0
  #paper = 0

  constructor(
    id: string,
    title: string,
    hint: string,
    draw: (width: number) => { told: string; chart: Node; table: () => Table } | null,
  ) {
    this.#title = title
    this.#draw = draw
    this.#chart = h('div', { class: 'chart', role: 'img' })
    this.#table = h('div', { class: 'table' })
    this.#details = h(
      'details',
      { toggle: () => this.redraw() },
      h('summary', {}, 'As a table', h('span', { class: 'unseen' }, `: ${title}`)),
      this.#table,
    )
    this.element = h(
      'section',
      { class: 'card', id: `chart-${id}`, 'aria-labelledby': `chart-${id}-title` },
      h('div', { class: 'card-head' }, h('h3', { id: `chart-${id}-title` }, title), this.controls),
      h('p', { class: 'hint' }, hint),
      this.#chart,
      this.#details,
    )
    new ResizeObserver(() => {
      if (Math.abs(this.#chart.clientWidth - this.#width) > 4) this.redraw()
    }).observe(this.#chart)
  }

  /** Draws for paper, whose width a page is not told, or for the screen again. */
  print(printing: boolean): void {
    const wide = this.element.classList.contains('wide')
    this.#paper = printing ? (wide ? 660 : 320) : 0
    this.redraw()
  }

  redraw(): void {
    this.element.hidden = false
    this.#width = this.#chart.clientWidth
    const drawn = this.#draw(this.#paper || Math.max(this.#width, 260))
    this.element.hidden = drawn === null
    if (drawn === null) return
    this.#chart.setAttribute('aria-label', `${this.#title}: ${drawn.told}`)
    fill(this.#chart, drawn.chart)
    if (this.#details.open) {
      const { head, rows } = drawn.table()
      fill(
        this.#table,
        h(
          'table',
          {},
          h('caption', { class: 'unseen' }, this.#title),
          h('thead', {}, h('tr', {}, ...head.map((text) => h('th', { scope: 'col' }, text)))),
          h(
            'tbody',
            {},
            ...rows.map(([first, ...rest]) =>
              h(
                'tr',
                {},
                h('th', { scope: 'row' }, first),
                ...rest.map((cell) => h('td', {}, cell)),
              ),
            ),
          ),
        ),
      )
    }
  }
}

/** The plot without its style sheet: the page's own has the same rules, and its policy no others. */
function plot(options: Plot.PlotOptions): SVGSVGElement | HTMLElement {
  const made = Plot.plot({ className: 'plot', ...options })
  for (const style of made.querySelectorAll('style')) style.remove()
  return made
}

/** Makes the marks of a plot answer to clicks; `all` are the data in the order of the marks. */
function clickable<T>(made: Element, label: string, all: T[], action: (item: T) => void): void {
  const shapes = made.querySelectorAll(`[aria-label="${label}"] > *`)
  if (shapes.length !== all.length) return
  shapes.forEach((shape, i) => {
    shape.classList.add('clickable')
    shape.addEventListener('click', () => action(all[i]!))
  })
}

function choice<T extends string>(
  label: string,
  options: Record<T, string>,
  change: (value: T) => void,
): HTMLElement {
  return h(
    'label',
    {},
    h('span', { class: 'unseen' }, label),
    h(
      'select',
      { change: (event) => change((event.target as HTMLSelectElement).value as T) },
      ...Object.entries<string>(options).map(([value, text]) => h('option', { value }, text)),
    ),
  )
}

function filterButton(text: string, told: string, action: () => void): HTMLElement {
  return h(
    'button',
    { type: 'button', class: 'link', title: told, click: action },
    h('bdi', {}, text),
  )
}

/** Room for names at the left of a plot, at most `most` pixels, and how they are cut to fit. */
function labels(names: string[], most: number): { margin: number; cut: (name: string) => string } {
  const letters = Math.min(
    Math.max(...names.map((name) => [...name].length)),
    Math.floor((most - 12) / LETTER),
  )
  return {
    margin: Math.max(4, Math.ceil(letters * LETTER) + 12),
    cut: (name) => short(name, letters),
  }
}

function short(text: string, letters: number): string {
  const all = [...text]
  return all.length <= letters ? text : `${all.slice(0, letters - 1).join('')}…`
}

/** Lower charts, one above the other. */
function stack(...cards: Card[]): HTMLElement {
  return h('div', { class: 'stack' }, ...cards.map((card) => card.element))
}

/** All charts; call `show` with the packages that they speak of. */
export class Charts {
  readonly #cards: Card[]
  #selection: Uint32Array = new Uint32Array()

  constructor(context: Context, place: HTMLElement) {
    const selection = () => this.#selection
    const rules = rulesCard(context, selection)
    const criteria = criteriaCard(context, selection)
    const readiness = readinessCard(context, selection)
    const history = historyCard(context, selection)
    const errors = errorsCard(context, selection)
    const seconds = secondsCard(context, selection)
    this.#cards = [rules, criteria, readiness, history, errors, seconds]
    place.append(rules.element, stack(criteria, readiness), history.element)
    place.append(errors.element, seconds.element)
    const judged = context.audit.overview.judgement
    if (judged !== null) {
      const [missed, agreement, claims] = judgeCards(judged, context)
      this.#cards.push(missed, agreement, claims)
      place.append(missed.element, stack(agreement, claims))
    }
    window.addEventListener('beforeprint', () => this.#cards.forEach((card) => card.print(true)))
    window.addEventListener('afterprint', () => this.#cards.forEach((card) => card.print(false)))
  }

  show(selection: Uint32Array): void {
    this.#selection = selection
    this.redraw()
  }

  redraw(): void {
    for (const card of this.#cards) card.redraw()
  }
}

type Selection = () => Uint32Array

function rulesCard({ audit, narrow }: Context, selection: Selection): Card {
  let by: 'packages' | 'first' | 'findings' = 'packages'
  const words = {
    packages: 'Packages that have it',
    first: 'Packages where it blocks first',
    findings: 'Findings',
  }
  const card = new Card(
    'rules',
    'Rules',
    'What goes wrong most often. A bar filters by its rule.',
    (width) => {
      const all = ruleCounts(audit, selection())
      const counts = all.filter((count) => count[by] > 0)
      counts.sort((a, b) => b[by] - a[by] || a.rule - b.rule)
      if (counts.length === 0) return null
      const shown = counts.slice(0, width >= NARROW ? RULES_SHOWN : RULES_NARROW)
      const rule = (count: RuleCount) => audit.overview.rules[count.rule]!
      const beside = width >= NARROW
      const names = shown.map((count) => rule(count).name)
      const { margin, cut } = labels(names, beside ? width * 0.45 : 0)
      const made = plot({
        width,
        height: shown.length * (beside ? 23 : 36) + 30,
        marginLeft: margin,
        marginRight: 48,
        marginTop: 4,
        x: { label: null, ticks: 4, tickFormat: whole, grid: true },
        y: {
          domain: names,
          label: null,
          axis: beside ? 'left' : null,
          tickFormat: cut,
          tickSize: 0,
          padding: beside ? 0.28 : 0.62,
        },
        marks: [
          Plot.barX(shown, {
            x: by,
            y: (count: RuleCount) => rule(count).name,
            fill: (count: RuleCount) => `var(--${rule(count).severity})`,
            rx: 2,
            ariaLabel: 'rules',
            title: (count: RuleCount) =>
              `${rule(count).name} (${rule(count).code})\n${rule(count).summary}\n${counted(count.packages, 'package')}, ${counted(count.findings, 'finding')}`,
          }),
          Plot.text(shown, {
            x: by,
            y: (count: RuleCount) => rule(count).name,
            text: (count: RuleCount) => number(count[by]),
            textAnchor: 'start',
            dx: 5,
            dy: beside ? 0 : 0,
            fill: 'currentColor',
          }),
          beside
            ? null
            : Plot.text(shown, {
                x: () => 0,
                y: (count: RuleCount) => rule(count).name,
                text: (count: RuleCount) => rule(count).name,
                textAnchor: 'start',
                dy: -13,
                fill: 'currentColor',
              }),
        ],
      })
      clickable(made, 'bar', shown, (count) => narrow({ rule: rule(count).name }))
      const first = shown[0]!
      return {
        told: `${counts.length} rules, most often ${rule(first).name} with ${number(first[by])}.`,
        chart: made,
        table: () => ({
          head: ['Rule', 'Severity', 'Packages', 'Blocks first in', 'Findings'],
          rows: counts.map((count) => [
            filterButton(rule(count).name, 'Show the packages with this rule', () =>
              narrow({ rule: rule(count).name }),
            ),
            rule(count).severity,
            count.packages,
            count.first,
            count.findings,
          ]),
        }),
      }
    },
  )
  card.controls.append(
    choice('What the bars count', words, (value) => {
      by = value
      card.redraw()
    }),
  )
  return card
}

function criteriaCard({ audit, narrow }: Context, selection: Selection): Card {
  let by: 'profile' | 'place' | 'series' = 'profile'
  const { overview } = audit
  const card = new Card(
    'criteria',
    'Criteria',
    'The share of packages that violate each criterion. A field filters by its criterion.',
    (width) => {
      const all = groups(audit, selection(), by).filter((group) => judged(group) > 0)
      if (all.length === 0) return null
      const shown = all.slice(0, GROUPS_SHOWN)
      const cells = shown.flatMap((group) =>
        group.criteria.map((counts, i) => ({
          group: group.name,
          criterion: i + 1,
          share: counts.violated / judged(group),
          counts,
          whole: judged(group),
        })),
      )
      type Cell = (typeof cells)[number]
      const names = shown.map((group) => group.name)
      const { margin, cut } = labels(names, width * (width < NARROW ? 0.28 : 0.34))
      const column = (width - margin) / 9
      const made = plot({
        width,
        height: shown.length * 34 + 74,
        marginLeft: margin,
        marginTop: 70,
        marginRight: 22,
        marginBottom: 4,
        x: {
          domain: [1, 2, 3, 4, 5, 6, 7, 8, 9],
          axis: 'top',
          label: null,
          tickSize: 0,
          tickRotate: -40,
          tickFormat: (value: number) => `${value} ${SHORT[value - 1]}`,
          padding: 0.06,
        },
        y: {
          domain: names,
          label: null,
          tickSize: 0,
          tickFormat: cut,
          padding: 0.08,
        },
        marks: [
          Plot.cell(cells, {
            x: 'criterion',
            y: 'group',
            rx: 3,
            fill: {
              value: (cell: Cell) =>
                `color-mix(in oklab, var(--error) ${Math.round(cell.share * 100)}%, var(--cell))`,
              scale: null,
            },
            ariaLabel: 'criteria',
            title: (cell: Cell) =>
              `${cell.criterion} ${overview.criteria[cell.criterion - 1]}, ${cell.group}\n${percent(cell.counts.violated, cell.whole)} violate it, ${percent(cell.counts.met, cell.whole)} meet it, ${percent(cell.counts.unknown, cell.whole)} undecided`,
          }),
          Plot.text(cells, {
            x: 'criterion',
            y: 'group',
            text: (cell: Cell) =>
              percent(cell.counts.violated, cell.whole).replace(column < 34 ? '%' : '', ''),
            fill: {
              value: (cell: Cell) => (cell.share > 0.72 ? 'var(--on-strong)' : 'currentColor'),
              scale: null,
            },
            fontSize: column < 34 ? 9 : 11,
            pointerEvents: 'none',
          }),
        ],
      })
      clickable(made, 'cell', cells, (cell) =>
        narrow({
          criterion: String(cell.criterion),
          ...(by === 'series' ? {} : { [by]: cell.group }),
        }),
      )
      const worst = cells.reduce((a, b) => (b.share > a.share ? b : a))
      return {
        told: `${worst.group} violates ${worst.criterion} ${overview.criteria[worst.criterion - 1]} most often, in ${percent(worst.counts.violated, worst.whole)}.`,
        chart: made,
        table: () => ({
          head: [
            by === 'profile' ? 'Profile' : by === 'place' ? 'Source' : 'Package',
            'Packages',
            ...overview.criteria.map((title, i) => `${i + 1} ${title}`),
          ],
          rows: all
            .slice(0, 200)
            .map((group) => [
              h('bdi', {}, group.name),
              judged(group),
              ...group.criteria.map((counts) => percent(counts.violated, judged(group))),
            ]),
        }),
      }
    },
  )
  const ways: Partial<Record<'profile' | 'place' | 'series', string>> = { profile: 'By profile' }
  if (overview.places.length > 1) ways.place = 'By source'
  if (overview.series.length > 1) ways.series = 'By package'
  if (Object.keys(ways).length > 1)
    card.controls.append(
      choice('Group by', ways as Record<typeof by, string>, (value) => {
        by = value
        card.redraw()
      }),
    )
  return card
}

function judged(group: Group): number {
  return group.standing.ready + group.standing.unready
}

const STANDINGS = [
  ['ready', 'ready', 'var(--good)'],
  ['unready', 'not ready', 'var(--error)'],
  ['failed', 'failed', 'var(--muted)'],
] as const

function readinessCard({ audit, narrow }: Context, selection: Selection): Card {
  let by: 'profile' | 'place' = 'profile'
  const card = new Card(
    'readiness',
    'Readiness',
    'How many packages are ready to run. A bar filters by its group.',
    (width) => {
      const all = groups(audit, selection(), by)
      if (all.length === 0) return null
      const shown = all.slice(0, GROUPS_SHOWN)
      const parts = shown.flatMap((group) => {
        const whole = group.standing.ready + group.standing.unready + group.standing.failed
        let from = 0
        return STANDINGS.map(([key, word, color]) => {
          const count = group.standing[key]
          const part = {
            group: group.name,
            word,
            color,
            count,
            whole,
            from,
            to: from + count / whole,
          }
          from = part.to
          return part
        }).filter((part) => part.count > 0)
      })
      type Part = (typeof parts)[number]
      const names = shown.map((group) => group.name)
      const { margin, cut } = labels(names, width * 0.34)
      const made = plot({
        width,
        height: shown.length * 30 + 34,
        marginLeft: margin,
        marginRight: 60,
        marginTop: 4,
        x: { domain: [0, 1], label: null, ticks: 4, tickFormat: (v: number) => `${v * 100}%` },
        y: {
          domain: names,
          label: null,
          tickSize: 0,
          tickFormat: cut,
          padding: 0.3,
        },
        marks: [
          Plot.barX(parts, {
            x1: 'from',
            x2: 'to',
            y: 'group',
            fill: { value: 'color', scale: null },
            title: (part: Part) =>
              `${part.group}: ${counted(part.count, 'package')} ${part.word} (${percent(part.count, part.whole)})`,
          }),
          Plot.text(parts, {
            filter: (part: Part) => (part.to - part.from) * (width - margin - 60) > 40,
            x: (part: Part) => (part.from + part.to) / 2,
            y: 'group',
            text: (part: Part) => percent(part.count, part.whole),
            fill: 'var(--on-strong)',
            pointerEvents: 'none',
          }),
          Plot.text(shown, {
            x: () => 1,
            y: 'name',
            text: (group: Group) =>
              number(group.standing.ready + group.standing.unready + group.standing.failed),
            textAnchor: 'start',
            dx: 6,
          }),
        ],
      })
      clickable(made, 'bar', parts, (part) =>
        narrow({ [by]: part.group === 'not judged' ? '' : part.group, verdict: part.word }),
      )
      const sums = standing(audit, selection())
      return {
        told: `${number(sums.ready)} ready, ${number(sums.unready)} not ready, ${number(sums.failed)} failed.`,
        chart: h('div', {}, legend(STANDINGS.map(([, word, color]) => [word, color])), made),
        table: () => ({
          head: [
            by === 'profile' ? 'Profile' : 'Source',
            'Ready',
            'Not ready',
            'Failed',
            'Share ready',
          ],
          rows: all
            .slice(0, 200)
            .map((group) => [
              h('bdi', {}, group.name),
              group.standing.ready,
              group.standing.unready,
              group.standing.failed,
              percent(group.standing.ready, judged(group)),
            ]),
        }),
      }
    },
  )
  if (audit.overview.places.length > 1)
    card.controls.append(
      choice('Group by', { profile: 'By profile', place: 'By source' }, (value) => {
        by = value
        card.redraw()
      }),
    )
  return card
}

function legend(entries: readonly (readonly [string, string])[]): HTMLElement {
  return h(
    'p',
    { class: 'legend', 'aria-hidden': 'true' },
    ...entries.map(([text, color]) => {
      const sign = h('i')
      sign.style.background = color
      return h('span', {}, sign, text)
    }),
  )
}

const VERSIONS_SHOWN = 120

function historyCard({ audit, open }: Context, selection: Selection): Card {
  const { overview } = audit
  let wanted = -1
  const select = h('select', {
    change: (event) => {
      wanted = Number((event.target as HTMLSelectElement).value)
      card.redraw()
    },
  })
  const card: Card = new Card(
    'history',
    'Versions',
    'The findings of one package from version to version, and the rules behind them. A bar opens its version.',
    (width) => {
      const all = histories(audit, selection())
      if (all.length === 0) return null
      const history = all.find(({ series }) => series === wanted) ?? all[0]!
      fill(
        select,
        ...all
          .slice(0, 200)
          .map(({ series, of }) =>
            h(
              'option',
              { value: series, selected: series === history.series },
              `${short(overview.series[series]!, 60)} (${of.length})`,
            ),
          ),
      )
      const of = history.of.slice(-VERSIONS_SHOWN)
      const { packages } = overview
      const bars = of.flatMap((index, at) => [
        { at, index, word: 'errors', color: 'var(--error)', count: packages.errors[index]! },
        { at, index, word: 'warnings', color: 'var(--warning)', count: packages.warnings[index]! },
      ])
      type Bar = (typeof bars)[number]
      const label = (index: number) => shortVersion(packages.version[index]) || packages.id[index]!
      const told = (index: number) =>
        `${label(index)}\n${counted(packages.errors[index]!, 'error')}, ${counted(packages.warnings[index]!, 'warning')}\n${packages.verdict[index] === 'r' ? 'ready' : packages.verdict[index] === 'n' ? 'not ready' : 'failed'}`
      const presence = rulesOver(audit, of)
      const { margin, cut } = labels([...presence.names, 'findings'], width * 0.42)
      const domain = of.map((_, at) => at)
      const top = plot({
        width,
        height: 170,
        marginLeft: margin,
        marginRight: 8,
        marginTop: 18,
        marginBottom: 6,
        x: { domain, axis: null, padding: of.length > 60 ? 0 : 0.15 },
        y: {
          label: 'findings',
          grid: true,
          ticks: 4,
          tickFormat: whole,
        },
        marks: [
          Plot.barY(
            bars,
            Plot.stackY({
              x: 'at',
              y: 'count',
              fill: { value: 'color', scale: null },
              title: (bar: Bar) => told(bar.index),
            }),
          ),
          Plot.text(of, {
            filter: (index: number) => packages.verdict[index] === 'r',
            x: (_: number, at: number) => at,
            y: (index: number) => packages.errors[index]! + packages.warnings[index]!,
            text: () => '✓',
            dy: -8,
            fill: 'var(--good)',
            fontWeight: 'bold',
          }),
        ],
      })
      clickable(top, 'bar', bars, (bar) => open(bar.index))
      const bottom =
        presence.names.length === 0
          ? null
          : plot({
              width,
              height: presence.names.length * 17 + 22,
              marginLeft: margin,
              marginRight: 8,
              marginTop: 2,
              marginBottom: 20,
              x: {
                domain,
                padding: of.length > 60 ? 0.05 : 0.15,
                ticks: of.length > 12 ? [0, of.length - 1] : domain,
                tickFormat: (at: number) =>
                  of.length > 12 ? (at === 0 ? 'first' : 'last') : `${at + 1}`,
                tickSize: 0,
                label: null,
              },
              y: {
                domain: presence.names,
                label: null,
                tickSize: 0,
                tickFormat: cut,
                padding: 0.15,
              },
              marks: [
                Plot.cell(presence.cells, {
                  x: 'at',
                  y: 'name',
                  rx: 1.5,
                  fill: { value: (cell: Presence) => `var(--${cell.severity})`, scale: null },
                  title: (cell: Presence) =>
                    `${cell.name} in ${label(of[cell.at]!)}: ${counted(cell.count, 'finding')}`,
                }),
              ],
            })
      if (bottom !== null) clickable(bottom, 'cell', presence.cells, (cell) => open(of[cell.at]!))
      const last = of.at(-1)!
      const left = history.of.length - of.length
      return {
        told: `${counted(history.of.length, 'version')} of ${overview.series[history.series]}; the last has ${counted(packages.errors[last]!, 'error')}.`,
        chart: h(
          'div',
          {},
          legend([
            ['errors', 'var(--error)'],
            ['warnings', 'var(--warning)'],
            ['✓ ready', 'transparent'],
          ]),
          top,
          bottom,
          left > 0 &&
            h(
              'p',
              { class: 'hint' },
              `The last ${VERSIONS_SHOWN} versions; ${number(left)} earlier ones are in the table.`,
            ),
        ),
        table: () => ({
          head: ['Version', 'Verdict', 'Errors', 'Warnings'],
          rows: history.of.map((index) => [
            filterButton(label(index), 'Open this version', () => open(index)),
            { r: 'ready', n: 'not ready', f: 'failed' }[packages.verdict[index]!],
            packages.errors[index]!,
            packages.warnings[index]!,
          ]),
        }),
      }
    },
  )
  card.element.classList.add('wide')
  card.controls.append(h('label', {}, h('span', { class: 'unseen' }, 'Package'), select))
  return card
}

interface Presence {
  at: number
  name: string
  severity: string
  count: number
}

const RULES_OVER_TIME = 24

/** In which versions each rule fired, the rules in the order in which they first did. */
function rulesOver(audit: Audit, of: number[]): { names: string[]; cells: Presence[] } {
  const cells: Presence[] = []
  const totals = new Map<string, number>()
  of.forEach((index, at) => {
    const counts = new Map<number, number>()
    for (let i = audit.starts[index]!; i < audit.starts[index + 1]!; i++)
      counts.set(audit.rule[i]!, (counts.get(audit.rule[i]!) ?? 0) + 1)
    for (const [rule, count] of counts) {
      const { name, severity } = audit.overview.rules[rule]!
      cells.push({ at, name, severity, count })
      totals.set(name, (totals.get(name) ?? 0) + 1)
    }
  })
  const kept = new Set(
    [...totals]
      .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
      .slice(0, RULES_OVER_TIME)
      .map(([name]) => name),
  )
  return { names: [...kept], cells: cells.filter((cell) => kept.has(cell.name)) }
}

function errorsCard({ audit }: Context, selection: Selection): Card {
  const name = (bin: Bin) =>
    bin.to === Infinity
      ? `${bin.from}+`
      : bin.to === bin.from + 1
        ? `${bin.from}`
        : `${bin.from}–${bin.to - 1}`
  return histogram('errors', 'Errors per package', 'How many errors a package has.', 'Errors', () =>
    named(errorBins(audit, selection()), name),
  )
}

function secondsCard({ audit }: Context, selection: Selection): Card {
  const text = (seconds: number) => (seconds < 1 ? `${seconds * 1000} ms` : `${seconds} s`)
  const name = (bin: Bin) =>
    bin.to === Infinity
      ? `≥ ${text(bin.from)}`
      : bin.from === 0
        ? `< ${text(bin.to)}`
        : `${text(bin.from)}–`
  return histogram(
    'seconds',
    'Time per package',
    'How long the check of a package took.',
    'From',
    () => named(secondBins(audit, selection()), name),
  )
}

interface NamedBin {
  name: string
  packages: number
}

function named(bins: Bin[], name: (bin: Bin) => string): NamedBin[] {
  return bins.map((bin) => ({ name: name(bin), packages: bin.packages }))
}

function histogram(
  id: string,
  title: string,
  hint: string,
  head: string,
  bins: () => NamedBin[],
): Card {
  return new Card(id, title, hint, (width) => {
    const shown = bins()
    if (shown.length === 0) return null
    const most = shown.reduce((a, b) => (b.packages > a.packages ? b : a))
    return {
      told: `most often ${most.name}, in ${counted(most.packages, 'package')}.`,
      chart: plot({
        width,
        height: 220,
        marginLeft: 44,
        marginRight: 8,
        marginTop: 22,
        x: {
          domain: shown.map((bin) => bin.name),
          label: null,
          tickSize: 0,
          padding: 0.12,
          tickRotate: width < NARROW ? -40 : 0,
        },
        marginBottom: width < NARROW ? 48 : 28,
        y: {
          label: 'packages',
          grid: true,
          ticks: 4,
          tickFormat: whole,
        },
        marks: [
          Plot.barY(shown, {
            x: 'name',
            y: 'packages',
            fill: 'var(--accent)',
            rx: 2,
            title: (bin: NamedBin) => `${bin.name}: ${counted(bin.packages, 'package')}`,
          }),
          Plot.text(shown, {
            x: 'name',
            y: 'packages',
            text: (bin: NamedBin) => (bin.packages ? number(bin.packages) : ''),
            dy: -7,
          }),
        ],
      }),
      table: () => ({
        head: [head, 'Packages'],
        rows: shown.map((bin) => [bin.name, bin.packages]),
      }),
    }
  })
}

const CLAIMS = [
  ['confirmed', 'var(--good)'],
  ['refuted', 'var(--error)'],
  ['undecided', 'var(--muted)'],
  ['missed', 'var(--warning)'],
] as const

function judgeCards(summary: JudgementSummary, { audit, narrow }: Context): [Card, Card, Card] {
  const { agreement } = summary
  const agree = new Card(
    'agreement',
    'The judge and the code',
    `Verdicts of the LLM judge against explint's, over ${counted(summary.packages, 'package')} of the whole audit.`,
    () => {
      const same = agreement.both_ready + agreement.both_not_ready
      const cell = (count: number, kind: string) =>
        h(
          'td',
          { class: kind },
          h('strong', {}, number(count)),
          h('span', {}, percent(count, summary.packages)),
        )
      return {
        told: `they agree on ${percent(same, summary.packages)}.`,
        chart: h(
          'div',
          {},
          h(
            'p',
            { class: 'big' },
            percent(same, summary.packages),
            h('span', {}, ' of the verdicts agree'),
          ),
          h(
            'table',
            { class: 'agreement' },
            h(
              'thead',
              {},
              h(
                'tr',
                {},
                h('td'),
                h('th', { scope: 'col' }, 'explint: ready'),
                h('th', { scope: 'col' }, 'explint: not ready'),
              ),
            ),
            h(
              'tbody',
              {},
              h(
                'tr',
                {},
                h('th', { scope: 'row' }, 'judge: ready'),
                cell(agreement.both_ready, 'same'),
                cell(agreement.only_judge_ready, 'other'),
              ),
              h(
                'tr',
                {},
                h('th', { scope: 'row' }, 'judge: not ready'),
                cell(agreement.only_explint_ready, 'other'),
                cell(agreement.both_not_ready, 'same'),
              ),
            ),
          ),
        ),
        table: () => ({
          head: ['', 'Confirmed', 'Refuted', 'Undecided', 'Missed'],
          rows: [
            [
              'Problems it names',
              summary.claims.confirmed,
              summary.claims.refuted,
              summary.claims.undecided,
              summary.claims.missed,
            ],
            [
              'Concessions',
              summary.concessions.confirmed,
              summary.concessions.refuted,
              summary.concessions.undecided,
              '–',
            ],
            ['Confirmed in part only', summary.partial, '–', '–', '–'],
          ],
        }),
      }
    },
  )
  const claims = new Card(
    'claims',
    'What the judge claims',
    'Its claims by criterion: confirmed or refuted by the code, open, and errors that it missed.',
    (width) => {
      const rows = Object.entries(summary.by_criterion).map(([key, tally]) => ({
        name: `${key} ${SHORT[Number(key) - 1] ?? ''}`,
        title: `${key} ${audit.overview.criteria[Number(key) - 1] ?? ''}`,
        tally,
      }))
      rows.unshift({ name: 'all claims', title: 'All claims', tally: summary.claims })
      const parts = rows.flatMap(({ name, title, tally }) =>
        CLAIMS.map(([state, color]) => ({ name, title, state, color, count: tally[state] })),
      )
      type Part = (typeof parts)[number]
      return {
        told: `${number(summary.claims.confirmed)} confirmed, ${number(summary.claims.refuted)} refuted, ${number(summary.claims.undecided)} undecided; ${number(summary.claims.missed)} errors missed.`,
        chart: h(
          'div',
          {},
          legend(CLAIMS),
          plot({
            width,
            height: rows.length * 27 + 34,
            marginLeft: 92,
            marginTop: 4,
            x: { label: null, ticks: 5, grid: true, tickFormat: whole },
            y: { domain: rows.map(({ name }) => name), label: null, tickSize: 0, padding: 0.3 },
            marks: [
              Plot.barX(
                parts,
                Plot.stackX({
                  x: 'count',
                  y: 'name',
                  fill: { value: 'color', scale: null },
                  title: (part: Part) => `${part.title}: ${number(part.count)} ${part.state}`,
                }),
              ),
            ],
          }),
        ),
        table: () => ({
          head: ['Criterion', 'Confirmed', 'Refuted', 'Undecided', 'Missed'],
          rows: rows.map(({ title, tally }) => [title, ...tallied(tally)]),
        }),
      }
    },
  )
  const rules = new Card(
    'judge-rules',
    'What the judge misses',
    'Packages in which the judge missed an error of a rule, and in which it saw one.',
    (width) => {
      const all = Object.entries(summary.by_rule).sort(
        ([a, x], [b, y]) => y.missed - x.missed || y.confirmed - x.confirmed || (a < b ? -1 : 1),
      )
      const shown = all.slice(0, RULES_SHOWN)
      if (shown.length === 0) return null
      const parts = shown.flatMap(([name, tally]) =>
        (['missed', 'confirmed'] as const).map((state) => ({
          name,
          state,
          color: CLAIMS.find(([word]) => word === state)![1],
          count: tally[state],
        })),
      )
      type Part = (typeof parts)[number]
      const names = shown.map(([name]) => name)
      const { margin, cut } = labels(names, width * 0.45)
      const made = plot({
        width,
        height: shown.length * 23 + 30,
        marginLeft: margin,
        marginTop: 4,
        x: { label: null, ticks: 4, grid: true, tickFormat: whole },
        y: {
          domain: names,
          label: null,
          tickSize: 0,
          tickFormat: cut,
          padding: 0.28,
        },
        marks: [
          Plot.barX(
            parts,
            Plot.stackX({
              x: 'count',
              y: 'name',
              fill: { value: 'color', scale: null },
              title: (part: Part) =>
                `${part.name}: ${part.state} in ${counted(part.count, 'package')}`,
            }),
          ),
        ],
      })
      clickable(made, 'bar', parts, (part) => narrow({ rule: part.name }))
      return {
        told: `most often missed is ${shown[0]![0]}, in ${counted(shown[0]![1].missed, 'package')}.`,
        chart: h(
          'div',
          {},
          legend([
            ['missed', 'var(--warning)'],
            ['confirmed', 'var(--good)'],
          ]),
          made,
        ),
        table: () => ({
          head: ['Rule', 'Confirmed', 'Refuted', 'Missed'],
          rows: all.map(([name, tally]) => [
            filterButton(name, 'Show the packages with this rule', () => narrow({ rule: name })),
            tally.confirmed,
            tally.refuted,
            tally.missed,
          ]),
        }),
      }
    },
  )
  return [rules, agree, claims]
}

function tallied(tally: Tally): number[] {
  return [tally.confirmed, tally.refuted, tally.undecided, tally.missed]
}
