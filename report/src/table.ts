/** The table of packages: only the rows in sight exist, so ten thousand cost what thirty do. */

import type { Audit } from './data.ts'
import { fill, h, number } from './dom.ts'
import { criteriaStrip, shortVersion, verdictBadge } from './pieces.ts'

const ROW = 34
/** Rows kept beyond both edges, so that scrolling shows no gap. */
const SPARE = 8
/** Rows on paper: a listing of everything would be a book. */
const PRINTED = 200

interface Column {
  key: string
  title: string
  /** Widest first: what a narrow page leaves out. */
  className: string
  compare: (a: number, b: number) => number
  cell: (index: number) => Node | string
  descendingFirst: boolean
}

export class PackageTable {
  readonly #open: (index: number) => void
  readonly #columns: Column[]
  readonly #scroller: HTMLElement
  readonly #table: HTMLTableElement
  readonly #body: HTMLTableSectionElement
  readonly #headings = new Map<string, HTMLTableCellElement>()
  readonly #empty: HTMLElement
  readonly #note: HTMLElement
  #order: Uint32Array = new Uint32Array()
  #sort = { key: '', descending: false }
  #active = 0
  #shown = ''
  #printing = false

  constructor(audit: Audit, place: HTMLElement, open: (index: number) => void) {
    this.#open = open
    this.#columns = columnsOf(audit)
    this.#body = h('tbody')
    const heads = this.#columns.map((column) => {
      const button = h(
        'button',
        { type: 'button', click: () => this.#sortBy(column) },
        column.title,
      )
      const head = h('th', { scope: 'col', class: column.className, 'aria-sort': 'none' }, button)
      this.#headings.set(column.key, head)
      return head
    })
    this.#table = h(
      'table',
      {
        id: 'grid',
        role: 'grid',
        tabindex: 0,
        'aria-labelledby': 'packages-title',
        'aria-describedby': 'packages-hint',
        'aria-colcount': this.#columns.length,
        keydown: (event) => this.#key(event as KeyboardEvent),
      },
      h('thead', {}, h('tr', { 'aria-rowindex': 1 }, ...heads)),
      this.#body,
    )
    this.#scroller = h('div', { class: 'scroller', scroll: () => this.#render() }, this.#table)
    this.#empty = h('p', { class: 'empty', hidden: true }, 'No package passes these filters.')
    this.#note = h('p', { class: 'print-only' })
    fill(place, this.#scroller, this.#empty, this.#note)
    this.#body.addEventListener('click', (event) => this.#click(event))
    new ResizeObserver(() => this.#render()).observe(this.#scroller)
    window.addEventListener('beforeprint', () => this.#print(true))
    window.addEventListener('afterprint', () => this.#print(false))
  }

  /** The packages in the order in which they stand. */
  get order(): Uint32Array {
    return this.#order
  }

  /** Shows other packages. */
  show(selection: Uint32Array): void {
    this.#order = selection.slice()
    this.#arrange()
    this.#active = 0
    this.#scroller.scrollTop = 0
    this.#table.setAttribute('aria-rowcount', String(this.#order.length + 1))
    this.#scroller.hidden = this.#order.length === 0
    this.#empty.hidden = this.#order.length > 0
    this.#shown = ''
    this.#render()
  }

  /** Makes a package the active row, in sight. */
  activate(index: number): void {
    const at = this.#order.indexOf(index)
    if (at >= 0) this.#move(at)
  }

  focus(): void {
    this.#table.focus({ preventScroll: true })
  }

  #sortBy(column: Column): void {
    const same = this.#sort.key === column.key
    const descending = same ? !this.#sort.descending : column.descendingFirst
    this.#sort = { key: column.key, descending }
    for (const [key, head] of this.#headings)
      head.setAttribute(
        'aria-sort',
        key !== column.key ? 'none' : descending ? 'descending' : 'ascending',
      )
    this.#arrange()
    this.#active = 0
    this.#scroller.scrollTop = 0
    this.#shown = ''
    this.#render()
  }

  #arrange(): void {
    const column = this.#columns.find((column) => column.key === this.#sort.key)
    if (column === undefined) return
    const sign = this.#sort.descending ? -1 : 1
    this.#order.sort((a, b) => sign * column.compare(a, b) || a - b)
  }

  #render(): void {
    const height = this.#scroller.clientHeight || 600
    const first = this.#printing
      ? 0
      : Math.max(0, Math.floor(this.#scroller.scrollTop / ROW) - SPARE)
    const rows = this.#printing ? PRINTED : Math.ceil(height / ROW) + 2 * SPARE
    const last = Math.min(this.#order.length, first + rows)
    const shown = `${first} ${last} ${this.#active} ${this.#printing}`
    if (shown === this.#shown) return
    this.#shown = shown
    fill(
      this.#body,
      spacer(first),
      ...Array.from({ length: last - first }, (_, i) => this.#row(first + i)),
      spacer(this.#printing ? 0 : this.#order.length - last),
    )
    const active = this.#active >= first && this.#active < last
    if (active) this.#table.setAttribute('aria-activedescendant', `row-${this.#active}`)
    else this.#table.removeAttribute('aria-activedescendant')
  }

  #row(at: number): HTMLTableRowElement {
    const index = this.#order[at]!
    return h(
      'tr',
      {
        id: `row-${at}`,
        'data-index': index,
        'aria-rowindex': at + 2,
        'aria-selected': at === this.#active,
      },
      ...this.#columns.map((column, i) =>
        i === 0
          ? h(
              'th',
              { scope: 'row', role: 'rowheader', class: column.className },
              column.cell(index),
            )
          : h('td', { class: column.className }, column.cell(index)),
      ),
    )
  }

  #click(event: MouseEvent): void {
    const row = (event.target as Element).closest('tr')
    if (row?.dataset['index'] === undefined) return
    this.#active = Number(row.id.slice(4))
    this.#open(Number(row.dataset['index']))
    this.#render()
  }

  #key(event: KeyboardEvent): void {
    if (event.target !== this.#table || event.altKey || event.ctrlKey || event.metaKey) return
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / ROW) - 2)
    const moves: Record<string, number> = {
      ArrowDown: this.#active + 1,
      ArrowUp: this.#active - 1,
      PageDown: this.#active + page,
      PageUp: this.#active - page,
      Home: 0,
      End: this.#order.length - 1,
    }
    const to = moves[event.key]
    if (to !== undefined) this.#move(to)
    else if ((event.key === 'Enter' || event.key === ' ') && this.#order.length > 0)
      this.#open(this.#order[this.#active]!)
    else return
    event.preventDefault()
  }

  #move(to: number): void {
    this.#active = Math.min(Math.max(to, 0), this.#order.length - 1)
    const head = this.#table.tHead?.offsetHeight ?? ROW
    const top = this.#active * ROW
    const room = this.#scroller.clientHeight - head
    if (top < this.#scroller.scrollTop) this.#scroller.scrollTop = top
    else if (top + ROW > this.#scroller.scrollTop + room)
      this.#scroller.scrollTop = top + ROW - room
    this.#render()
  }

  #print(printing: boolean): void {
    this.#printing = printing
    const rest = this.#order.length - PRINTED
    this.#note.textContent =
      rest > 0 ? `The first ${PRINTED} packages; ${number(rest)} more are in the page itself.` : ''
    this.#render()
  }
}

function spacer(rows: number): HTMLTableRowElement | null {
  if (rows <= 0) return null
  const row = h('tr', { 'aria-hidden': 'true', class: 'spacer' }, h('td'))
  row.style.height = `${rows * ROW}px`
  return row
}

function columnsOf(audit: Audit): Column[] {
  const { packages, profiles, places } = audit.overview
  const collator = new Intl.Collator('en', { numeric: true })
  const ranks = { r: 2, n: 1, f: 0 } as Record<string, number>
  const violated = packages.id.map((_, i) => {
    let sum = 0
    for (let number = 1; number <= 9; number++) sum += audit.criterion(i, number) === 'v' ? 1 : 0
    return sum
  })
  const texts = (values: (index: number) => string) => {
    // Comparing ranks is much cheaper than comparing texts by the rules of a language.
    let rank: Uint32Array | undefined
    return (a: number, b: number) => {
      if (rank === undefined) {
        const all = packages.id.map((_, i) => values(i))
        const sorted = [...new Set(all)].sort((a, b) => collator.compare(a, b))
        const place = new Map(sorted.map((text, i) => [text, i]))
        rank = Uint32Array.from(all, (text) => place.get(text)!)
      }
      return rank[a]! - rank[b]!
    }
  }
  const numbers = (key: string, title: string, values: number[], className: string): Column => ({
    key,
    title,
    className: `number ${className}`,
    compare: (a, b) => values[a]! - values[b]!,
    cell: (i) => (packages.verdict[i] === 'f' ? '' : number(values[i]!)),
    descendingFirst: true,
  })
  const text = (
    key: string,
    title: string,
    className: string,
    values: (index: number) => string,
    whole = values,
  ): Column => ({
    key,
    title,
    className,
    compare: texts(values),
    cell: (i) => h('bdi', { title: whole(i) }, values(i)),
    descendingFirst: false,
  })
  const columns: Column[] = [
    text('id', 'Package', 'wide', (i) => packages.id[i]!),
    {
      key: 'verdict',
      title: 'Verdict',
      className: 'verdict',
      compare: (a, b) => ranks[packages.verdict[a]!]! - ranks[packages.verdict[b]!]!,
      cell: (i) => verdictBadge(packages.verdict[i]!),
      descendingFirst: true,
    },
    {
      key: 'criteria',
      title: 'Criteria',
      className: 'criteria',
      compare: (a, b) => violated[a]! - violated[b]!,
      cell: (i) => criteriaStrip(audit, i),
      descendingFirst: true,
    },
    numbers('errors', 'Errors', packages.errors, 'short'),
    numbers('warnings', 'Warnings', packages.warnings, 'short medium'),
    text('profile', 'Profile', 'medium', (i) => profiles[packages.profile[i]!] ?? ''),
  ]
  if (places.length > 1)
    columns.push(
      text(
        'place',
        'Source',
        'large',
        (i) => audit.places[packages.place[i]!]!,
        (i) => places[packages.place[i]!]!,
      ),
    )
  if (packages.version.some((version) => version !== null))
    columns.push(text('version', 'Version', 'large', (i) => shortVersion(packages.version[i])))
  return columns
}
