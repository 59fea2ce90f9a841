/** Reads unified diffs, as git and GitHub write them. */

import type { ChangedLines } from './planner.ts'

/** One hunk, by the lines it covers on the new side; `last < first` where it has none. */
export interface Hunk {
  first: number
  last: number
}

const HUNK = /^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/

/** The hunks of one file's patch, with the context lines that the patch shows. */
export function hunksOf(patch: string): Hunk[] {
  return patch.split('\n').flatMap((line) => {
    const match = HUNK.exec(line)
    if (match === null) return []
    const first = Number(match[2])
    return [{ first, last: first + Number(match[3] ?? 1) - 1 }]
  })
}

/** The added and rewritten lines of a `git diff --unified=0` over many files. */
export function changedLines(diff: string): ChangedLines {
  const changed = new Map<string, [number, number][]>()
  let file: string | null = null
  let remaining = 0
  for (const line of diff.split('\n')) {
    // Inside a hunk a line may begin with anything, `+++ ` too.
    if (remaining > 0 && /^[-+\\]/.test(line)) {
      if (!line.startsWith('\\')) remaining -= 1
      continue
    }
    remaining = 0
    if (line.startsWith('diff --git ')) {
      file = null
    } else if (line.startsWith('+++ ')) {
      file = newPath(line.slice(4))
      if (file !== null && !changed.has(file)) changed.set(file, [])
    }
    const match = HUNK.exec(line)
    if (match === null) continue
    const [, before = '1', start = '0', after = '1'] = match
    remaining = Number(before) + Number(after)
    const first = Number(start)
    if (file !== null && Number(after) > 0) {
      changed.get(file)?.push([first, first + Number(after) - 1])
    }
  }
  return changed
}

/** The path in a `+++` line: without its prefix, quotes and the tab after a name with blanks. */
function newPath(text: string): string | null {
  const name = unquote(text.replace(/\t$/, ''))
  return name === '/dev/null' ? null : name.replace(/^b\//, '')
}

const ESCAPES: Record<string, number> = {
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
  '"': 34,
  '\\': 92,
}

/** A path as git quotes it (`core.quotePath`): C escapes between double quotes. */
export function unquote(text: string): string {
  if (!text.startsWith('"') || !text.endsWith('"')) return text
  const bytes: Buffer[] = []
  for (const part of text.slice(1, -1).matchAll(/\\([0-7]{3})|\\(.)|([^\\]+)/gs)) {
    const [, octal, escape, plain] = part
    if (octal !== undefined) bytes.push(Buffer.of(Number.parseInt(octal, 8) & 0xff))
    else if (escape !== undefined) bytes.push(Buffer.of(ESCAPES[escape] ?? escape.charCodeAt(0)))
    else bytes.push(Buffer.from(plain ?? ''))
  }
  return Buffer.concat(bytes).toString('utf8')
}
