/** The trial run: what `explint trial` saw, joined with what reading found. */

import fs from 'node:fs'
import path from 'node:path'
import type { Finding, PackageReport, Report } from './report.ts'

/** Bytes of one outcome that are read; the tail of a log is the largest part of it. */
const OUTCOME_LIMIT = 4 * 1024 * 1024
const MOST_OUTCOMES = 1000

/** How one run ended, in words for people. */
export interface TrialRow {
  package: string
  run: string
  ended: string
  seconds: number
  /** Bytes, or null where they were not measured. */
  memory: number | null
  device: string
}

/** What an outcome of a run holds, as far as it is shown (docs/trial.md). */
interface Outcome {
  package?: unknown
  run_id?: unknown
  started?: unknown
  problem?: unknown
  exit_code?: unknown
  signal?: unknown
  timed_out?: unknown
  exceeded?: unknown
  seconds?: unknown
  peak_memory?: unknown
  device?: unknown
}

/** Why a trial of an event's code is not begun, as a whole sentence; empty where it may be. */
export function refusal(foreign: boolean): string {
  return foreign
    ? 'No trial is run for a pull request from a fork: it would execute code that nobody here has ' +
        'read. Run the workflow by hand on a branch of this repository.'
    : ''
}

/** The runs of a trial, read from its folder; what cannot be read is left out. */
export function outcomes(folder: string): TrialRow[] {
  const runs = path.join(folder, 'runs')
  if (!fs.existsSync(runs)) return []
  return fs
    .readdirSync(runs)
    .sort()
    .slice(0, MOST_OUTCOMES)
    .flatMap((name) => {
      const file = path.join(runs, name, 'outcome.json')
      const stat = fs.lstatSync(file, { throwIfNoEntry: false })
      if (!stat?.isFile() || stat.size > OUTCOME_LIMIT) return []
      try {
        return [row(JSON.parse(fs.readFileSync(file, 'utf8')) as Outcome)]
      } catch {
        return []
      }
    })
}

function row(outcome: Outcome): TrialRow {
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  const number = (value: unknown) => (typeof value === 'number' ? value : null)
  return {
    package: text(outcome.package),
    run: text(outcome.run_id),
    ended: ended(outcome, text),
    seconds: number(outcome.seconds) ?? 0,
    memory: number(outcome.peak_memory),
    device: text(outcome.device),
  }
}

function ended(outcome: Outcome, text: (value: unknown) => string): string {
  if (outcome.timed_out === true) return '✗ out of time'
  if (text(outcome.exceeded) !== '') return `✗ over its limit: ${text(outcome.exceeded)}`
  if (text(outcome.problem) !== '') return `? ${text(outcome.problem)}`
  if (outcome.started === false) return '? not started'
  if (text(outcome.signal) !== '') return `✗ ${text(outcome.signal)}`
  return outcome.exit_code === 0 ? '✓ to its end' : `✗ exit code ${outcome.exit_code}`
}

/**
 * The report of the check with what the trial adds: findings of runs, verdicts, notes.
 *
 * Findings of runs have nothing to be compared with, so each counts as new.
 */
export function joined(check: Report, trial: Report): Report {
  const seen = new Map(trial.packages.map((pkg) => [key(pkg), pkg]))
  return {
    ...check,
    packages: check.packages.map((pkg) => {
      const other = seen.get(key(pkg))
      if (other === undefined) return pkg
      const found = other.findings
        .filter((finding) => finding.rule.startsWith('run/'))
        .map((finding): Finding => ({ ...finding, change: pkg.comparison ? 'new' : null }))
      return {
        ...pkg,
        verdict: other.verdict,
        complete: pkg.complete && other.complete,
        findings: [...pkg.findings, ...found],
        notes: [...new Set([...pkg.notes, ...other.notes])],
      }
    }),
  }
}

function key({ source }: PackageReport): string {
  return JSON.stringify([source.location, source.member])
}
