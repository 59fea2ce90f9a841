/** Which packages a filter leaves, and the sums over them. Pure: no page is needed. */

import type { Audit } from './data.ts'

export const VERDICTS = { r: 'ready', n: 'not ready', f: 'failed' } as const
export type Verdict = keyof typeof VERDICTS

/** An empty string lets everything through. */
export interface Filter {
  words: string
  verdict: string
  profile: string
  place: string
  criterion: string
  rule: string
}

export const NOTHING: Filter = {
  words: '',
  verdict: '',
  profile: '',
  place: '',
  criterion: '',
  rule: '',
}

/** The indices of the packages that pass, in the order of the audit. */
export function select(audit: Audit, filter: Filter): Uint32Array {
  const { overview } = audit
  const { packages } = overview
  const tests: ((index: number) => boolean)[] = []
  const verdict = Object.entries(VERDICTS).find(([, name]) => name === filter.verdict)?.[0]
  if (filter.verdict) tests.push((i) => packages.verdict[i] === verdict)
  if (filter.profile) {
    const wanted = overview.profiles.indexOf(filter.profile)
    tests.push((i) => packages.profile[i] === wanted)
  }
  if (filter.place) {
    const wanted = audit.places.indexOf(filter.place)
    tests.push((i) => packages.place[i] === wanted)
  }
  if (filter.criterion) {
    const wanted = Number(filter.criterion)
    tests.push((i) => audit.criterion(i, wanted) === 'v')
  }
  if (filter.rule) {
    const wanted = overview.rules.findIndex((rule) => rule.name === filter.rule)
    tests.push((i) => findingsOf(audit, i, (at) => audit.rule[at] === wanted))
  }
  for (const word of filter.words.toLowerCase().split(/\s+/).filter(Boolean))
    tests.push(withWord(audit, word))
  const found = new Uint32Array(audit.size)
  let size = 0
  for (let i = 0; i < audit.size; i++) if (tests.every((test) => test(i))) found[size++] = i
  return found.subarray(0, size)
}

/** A word may stand in what names a package, in a rule's name or code, or in a message. */
function withWord(audit: Audit, word: string): (index: number) => boolean {
  const rules = audit.ruleWords.map((text) => text.includes(word))
  const messages = audit.messages.map((text) => text.includes(word))
  const anywhere = rules.includes(true) || messages.includes(true)
  return (i) =>
    audit.words[i]!.includes(word) ||
    (anywhere &&
      findingsOf(audit, i, (at) => rules[audit.rule[at]!]! || messages[audit.message[at]!]!))
}

function findingsOf(audit: Audit, index: number, test: (at: number) => boolean): boolean {
  for (let at = audit.starts[index]!; at < audit.starts[index + 1]!; at++) if (test(at)) return true
  return false
}

export interface RuleCount {
  rule: number
  packages: number
  findings: number
  /** Packages whose most blocking root cause it is. */
  first: number
}

/** The rules that fired, by what each of them counts. */
export function ruleCounts(audit: Audit, selection: Uint32Array): RuleCount[] {
  const counts = audit.overview.rules.map((_, rule) => ({
    rule,
    packages: 0,
    findings: 0,
    first: 0,
  }))
  const last = new Int32Array(counts.length).fill(-1)
  for (const i of selection) {
    for (let at = audit.starts[i]!; at < audit.starts[i + 1]!; at++) {
      const rule = audit.rule[at]!
      const count = counts[rule]!
      count.findings++
      if (last[rule] !== i) {
        last[rule] = i
        count.packages++
      }
    }
    const first = audit.overview.packages.first[i]!
    if (first >= 0) counts[first]!.first++
  }
  return counts.filter((count) => count.findings > 0)
}

export interface Standing {
  ready: number
  unready: number
  failed: number
}

/** How many packages are ready, are not, and could not be judged. */
export function standing(audit: Audit, selection: Iterable<number>): Standing {
  const sums = { ready: 0, unready: 0, failed: 0 }
  for (const i of selection) {
    const verdict = audit.overview.packages.verdict[i]
    if (verdict === 'r') sums.ready++
    else if (verdict === 'n') sums.unready++
    else sums.failed++
  }
  return sums
}

export interface Group {
  name: string
  standing: Standing
  /** Of each criterion, how many packages meet it, violate it, and leave it open. */
  criteria: { met: number; violated: number; unknown: number }[]
}

/** Packages grouped by profile, place or package (all versions of one), the largest group first. */
export function groups(
  audit: Audit,
  selection: Uint32Array,
  by: 'profile' | 'place' | 'series',
): Group[] {
  const { overview } = audit
  const names = { profile: overview.profiles, place: audit.places, series: overview.series }[by]
  const members = new Map<number, number[]>()
  for (const i of selection) {
    const key = overview.packages[by][i]!
    if (by === 'series' && key < 0) continue
    const list = members.get(key)
    if (list === undefined) members.set(key, [i])
    else list.push(i)
  }
  const all = [...members].map(([key, indices]) => {
    const criteria = Array.from({ length: 9 }, () => ({ met: 0, violated: 0, unknown: 0 }))
    for (const i of indices)
      for (let number = 1; number <= 9; number++) {
        const state = audit.criterion(i, number)
        const cell = criteria[number - 1]!
        if (state === 'm') cell.met++
        else if (state === 'v') cell.violated++
        else if (state === 'u') cell.unknown++
      }
    return { name: names[key] ?? 'not judged', standing: standing(audit, indices), criteria }
  })
  const size = (group: Group) =>
    group.standing.ready + group.standing.unready + group.standing.failed
  return all.sort((a, b) => size(b) - size(a) || (a.name < b.name ? -1 : 1))
}

/** The versions of each package that has several, oldest first; the longest history first. */
export function histories(
  audit: Audit,
  selection: Uint32Array,
): { series: number; of: number[] }[] {
  const { packages } = audit.overview
  const members = new Map<number, number[]>()
  for (const i of selection) {
    if (packages.series[i]! < 0) continue
    const list = members.get(packages.series[i]!)
    if (list === undefined) members.set(packages.series[i]!, [i])
    else list.push(i)
  }
  return [...members]
    .filter(([, of]) => of.length > 1)
    .map(([series, of]) => ({
      series,
      of: of.sort((a, b) => (packages.order[a] ?? 0) - (packages.order[b] ?? 0) || a - b),
    }))
    .sort((a, b) => b.of.length - a.of.length || a.series - b.series)
}

export interface Bin {
  from: number
  /** Exclusive, and Infinity for the last one. */
  to: number
  packages: number
}

/** Judged packages by their number of errors: one bin each while few, wider ones beyond. */
export function errorBins(audit: Audit, selection: Uint32Array): Bin[] {
  const edges = [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, Infinity]
  return binned(audit, selection, audit.overview.packages.errors, edges)
}

/** Judged packages by the seconds that their check took. */
export function secondBins(audit: Audit, selection: Uint32Array): Bin[] {
  const edges = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, Infinity]
  return binned(audit, selection, audit.overview.packages.seconds, edges)
}

function binned(audit: Audit, selection: Uint32Array, values: number[], edges: number[]): Bin[] {
  const bins = edges.slice(0, -1).map((from, i) => ({ from, to: edges[i + 1]!, packages: 0 }))
  for (const i of selection) {
    if (audit.overview.packages.verdict[i] === 'f') continue
    bins[edges.findLastIndex((edge) => edge <= values[i]!)]!.packages++
  }
  const used = bins.flatMap((bin, i) => (bin.packages > 0 ? [i] : []))
  if (used.length === 0) return []
  const first = edges[1]! < 1 ? used[0]! : 0
  return bins.slice(first, used.at(-1)! + 1)
}
