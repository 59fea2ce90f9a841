/** The page of an audit: reads its own data and lets a person look around in it. */

import { Charts } from './charts.ts'
import { Audit, type Overview, unpack } from './data.ts'
import { detailOf, show } from './detail.ts'
import { counted, fill, h, number, part, percent, settled, type Child } from './dom.ts'
import { errorBins, NOTHING, select, standing, VERDICTS, type Filter } from './select.ts'
import { PackageTable } from './table.ts'
import { themeButton } from './theme.ts'

const KEYS = Object.keys(NOTHING) as (keyof Filter)[]

class Page {
  readonly #audit: Audit
  readonly #table: PackageTable
  readonly #charts: Charts
  readonly #dialog = part<HTMLDialogElement>('package')
  readonly #fields = new Map<keyof Filter, HTMLInputElement | HTMLSelectElement>()
  #filter: Filter = { ...NOTHING }
  #selection: Uint32Array
  #open: number | null = null

  constructor(audit: Audit) {
    this.#audit = audit
    this.#selection = select(audit, NOTHING)
    this.#describe()
    this.#form()
    const open = (index: number) => void this.#show(index)
    this.#table = new PackageTable(audit, part('table'), open)
    for (const id of ['overview', 'filters', 'charts', 'packages']) part(id).hidden = false
    part('state').hidden = true
    this.#charts = new Charts(
      { audit, narrow: (change) => this.#narrow(change), open },
      part('charts'),
    )
    this.#dialog.addEventListener('close', () => this.#closed())
    this.#dialog.addEventListener('click', (event) => {
      if (event.target === this.#dialog) this.#dialog.close()
    })
    this.#dialog.addEventListener('keydown', (event) => this.#key(event))
    window.addEventListener('hashchange', () => this.#fromAddress())
    this.#fromAddress()
  }

  #describe(): void {
    const { overview } = this.#audit
    const { counts } = overview
    const held = this.#audit.size
    fill(
      part('about'),
      overview.sources.slice(0, 3).join(', ') +
        (overview.sources.length > 3 ? ` and ${overview.sources.length - 3} more` : ''),
      ` · explint ${overview.tool.version}, rules ${overview.tool.rules_version}`,
      overview.seconds > 0 && ` · ${duration(overview.seconds)}`,
    )
    if (!overview.complete)
      part('about').after(
        h(
          'p',
          { class: 'notice' },
          'This audit had not come to its end: the page shows what was done by then.',
        ),
      )
    if (held < counts.packages)
      part('about').after(
        h(
          'p',
          { class: 'notice' },
          `Charts and table show ${number(held)} of the ${number(counts.packages)} packages, picked evenly over the audit; the figures at the top are of all of them.`,
        ),
      )
    fill(
      part('footer'),
      `Written by explint ${overview.tool.version}. This file holds its data and loads nothing.`,
    )
  }

  #tiles(): void {
    const { counts } = this.#audit.overview
    const all = this.#selection.length === this.#audit.size
    const sums = all ? counts : this.#sums()
    const judged = sums.ready + sums.unready
    const bar = h('div', { class: 'meter', 'aria-hidden': 'true' })
    for (const [count, kind] of [
      [sums.ready, 'r'],
      [sums.unready, 'n'],
      [sums.failed, 'f'],
    ] as const) {
      const piece = h('i', { class: kind })
      piece.style.flexGrow = String(count)
      if (count > 0) bar.append(piece)
    }
    const tile = (title: string, value: Child, told: Child, className = '') =>
      h(
        'div',
        { class: `tile ${className}` },
        h('p', { class: 'name' }, title),
        h('p', { class: 'value' }, value),
        h('p', { class: 'told' }, told),
      )
    const half = this.#median()
    fill(
      part('tiles'),
      h(
        'div',
        { class: 'tile lead' },
        h('p', { class: 'name' }, 'Ready to run'),
        h('p', { class: 'value' }, percent(sums.ready, judged)),
        bar,
        h(
          'p',
          { class: 'told' },
          `${number(sums.ready)} of ${counted(judged, 'judged package')}${interval(sums.ready, judged)}`,
        ),
      ),
      tile(
        'Packages',
        sums.packages,
        sums.failed > 0 ? `${number(sums.failed)} could not be judged` : 'all of them judged',
      ),
      tile(
        'Errors',
        sums.errors,
        half === null ? '' : `half of the packages have ${half} or fewer`,
        'error',
      ),
      tile(
        'Warnings',
        sums.warnings,
        sums.infos > 0 ? `and ${number(sums.infos)} of information` : `and no other findings`,
        'warning',
      ),
    )
  }

  #sums() {
    const { packages } = this.#audit.overview
    const total = (values: number[]) => this.#selection.reduce((sum, i) => sum + values[i]!, 0)
    return {
      ...standing(this.#audit, this.#selection),
      packages: this.#selection.length,
      errors: total(packages.errors),
      warnings: total(packages.warnings),
      infos: total(packages.infos),
    }
  }

  /** The median number of errors of the judged packages. */
  #median(): number | null {
    if (errorBins(this.#audit, this.#selection).length === 0) return null
    const { packages } = this.#audit.overview
    const errors = this.#selection
      .filter((i) => packages.verdict[i] !== 'f')
      .map((i) => packages.errors[i]!)
    return errors.sort()[Math.floor((errors.length - 1) / 2)]!
  }

  #form(): void {
    const { overview } = this.#audit
    const change = () => this.#apply({ scroll: false })
    const search = h('input', {
      type: 'search',
      id: 'words',
      placeholder: 'Search packages, rules and messages',
      autocomplete: 'off',
      spellcheck: 'false',
      'aria-label': 'Search packages, rules and messages',
      input: change,
    })
    this.#fields.set('words', search)
    const options: [keyof Filter, string, [value: string, text: string][]][] = [
      ['verdict', 'Any verdict', Object.values(VERDICTS).map((name) => [name, name])],
      ['profile', 'Any profile', overview.profiles.map((name) => [name, name])],
      ['place', 'Any source', this.#audit.places.slice(0, 500).map((name) => [name, name])],
      [
        'criterion',
        'Any criterion',
        overview.criteria.map((title, i) => [String(i + 1), `violates ${i + 1} ${title}`]),
      ],
      [
        'rule',
        'Any rule',
        overview.rules.map(({ name }) => [name, name] as [string, string]).sort(),
      ],
    ]
    const selects = options
      .filter(([key, , values]) => values.length > 1 || key === 'rule')
      .map(([key, any, values]) => {
        const field = h(
          'select',
          {
            id: key,
            'aria-label': any.replace('Any ', '').replace(/^./, (c) => c.toUpperCase()),
            change,
          },
          h('option', { value: '' }, any),
          ...values.map(([value, text]) => h('option', { value }, text)),
        )
        this.#fields.set(key, field)
        return field
      })
    const form = part<HTMLFormElement>('filter-form')
    fill(
      form,
      search,
      ...selects,
      h('button', { type: 'reset', class: 'quiet', id: 'clear' }, 'Clear'),
    )
    form.addEventListener('submit', (event) => event.preventDefault())
    form.addEventListener('reset', () => window.setTimeout(change))
    document.addEventListener('keydown', (event) => {
      const typing =
        event.target instanceof HTMLElement &&
        /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)
      if (event.key === '/' && !typing && !this.#dialog.open && !event.ctrlKey && !event.metaKey) {
        event.preventDefault()
        search.focus()
      }
    })
  }

  #narrow(change: Partial<Filter>): void {
    for (const [key, value] of Object.entries(change)) {
      const field = this.#fields.get(key as keyof Filter)
      if (field !== undefined) field.value = value
    }
    this.#apply({ scroll: true })
  }

  readonly #slowly = settled(120, () => {
    this.#charts.show(this.#selection)
    this.#toAddress()
  })

  #apply({ scroll }: { scroll: boolean }): void {
    const begun = performance.now()
    for (const key of KEYS) this.#filter[key] = this.#fields.get(key)?.value ?? ''
    this.#selection = select(this.#audit, this.#filter)
    this.#table.show(this.#selection)
    this.#tiles()
    this.#told()
    performance.measure('explint-filter', { start: begun, end: performance.now() })
    this.#slowly()
    if (scroll) part('filters').scrollIntoView({ block: 'start' })
  }

  #told(): void {
    const shown = this.#selection.length
    const all = this.#audit.size
    part('count').textContent =
      shown === all ? counted(all, 'package') : `${number(shown)} of ${counted(all, 'package')}`
    part<HTMLButtonElement>('clear').disabled =
      shown === all && KEYS.every((key) => !this.#filter[key])
  }

  #toAddress(): void {
    const words = new URLSearchParams()
    for (const key of KEYS) if (this.#filter[key]) words.set(key, this.#filter[key])
    if (this.#open !== null) words.set('package', this.#audit.overview.packages.id[this.#open]!)
    const hash = words.size > 0 ? `#${words}` : ''
    if (hash !== location.hash)
      history.replaceState(null, '', hash || location.pathname + location.search)
  }

  #fromAddress(): void {
    // The link that skips to the packages is an address too.
    if (location.hash === '#packages') return
    const words = new URLSearchParams(location.hash.slice(1))
    for (const [key, field] of this.#fields) field.value = words.get(key) ?? ''
    this.#apply({ scroll: false })
    this.#charts.show(this.#selection)
    const id = words.get('package')
    const index = id === null ? -1 : this.#audit.overview.packages.id.indexOf(id)
    if (index >= 0) void this.#show(index)
    else if (this.#dialog.open) this.#dialog.close()
  }

  async #show(index: number, focus = 'title'): Promise<void> {
    this.#open = index
    const detail = await detailOf(this.#audit, index)
    if (this.#open !== index) return
    const order = this.#table.order
    const at = order.indexOf(index)
    const neighbours = {
      before: at > 0 ? order[at - 1]! : null,
      after: at >= 0 && at + 1 < order.length ? order[at + 1]! : null,
    }
    show(this.#audit, index, detail, this.#dialog, neighbours, (to) => {
      const pressed = (document.activeElement as HTMLElement | null)?.dataset['key']
      void this.#show(to, pressed)
    })
    if (!this.#dialog.open) this.#dialog.showModal()
    document.documentElement.classList.add('with-sheet')
    this.#dialog.scrollTop = 0
    this.#table.activate(index)
    const button = this.#dialog.querySelector<HTMLElement>(`[data-key="${focus}"]:not(:disabled)`)
    ;(button ?? part('package-title')).focus()
    this.#toAddress()
  }

  #closed(): void {
    this.#open = null
    document.documentElement.classList.remove('with-sheet')
    this.#toAddress()
    this.#table.focus()
  }

  #key(event: KeyboardEvent): void {
    const key = { ArrowLeft: 'previous', ArrowRight: 'next' }[event.key]
    const inCode = event.target instanceof HTMLElement && event.target.closest('pre') !== null
    if (key === undefined || inCode || event.altKey || event.ctrlKey || event.metaKey) return
    const button = this.#dialog.querySelector<HTMLButtonElement>(`[data-key="${key}"]`)
    if (button === null || button.disabled) return
    event.preventDefault()
    button.focus()
    button.click()
  }
}

/** The 95% interval of a share (Wilson's), where there are enough packages for one to mean much. */
function interval(part: number, whole: number): string {
  if (whole < 30) return ''
  const z = 1.96
  const p = part / whole
  const middle = p + (z * z) / (2 * whole)
  const spread = z * Math.sqrt((p * (1 - p)) / whole + (z * z) / (4 * whole * whole))
  const at = (value: number) => ((100 * value) / (1 + (z * z) / whole)).toFixed(1)
  return `; 95% interval ${at(middle - spread)}–${at(middle + spread)}%`
}

function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

async function start(): Promise<void> {
  themeButton(part('theme'))
  try {
    const overview = await unpack<Overview>(part('overview-data').textContent ?? '')
    new Page(new Audit(overview))
  } catch (error) {
    const state = part('state')
    state.className = 'notice'
    state.textContent = `This page cannot be shown: ${error instanceof Error ? error.message : error}`
    throw error
  }
}

void start()
