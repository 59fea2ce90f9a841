/** Writes to GitHub that are asked for and may be refused: a refusal is a note, never a failure. */

import { setTimeout as sleep } from 'node:timers/promises'
import { getOctokit } from '@actions/github'

export type Octokit = ReturnType<typeof getOctokit>

export interface Repo {
  owner: string
  repo: string
}

const ATTEMPTS = 4
/** Longer than this nobody waits for a comment, in seconds. */
const LONGEST_WAIT = 120

interface Refusal {
  status?: number
  message: string
  response?: { headers?: Record<string, string | number | undefined> }
}

/** How long GitHub asks to wait, in seconds; null when asking again is no use. */
export function waitFor(error: Refusal, attempt: number, now = Date.now()): number | null {
  const { status = 0, response } = error
  const headers = response?.headers ?? {}
  const asked = headers['retry-after']
  let seconds: number | null = null
  if (status === 429 || status === 403) {
    if (asked !== undefined) seconds = Number(asked)
    else if (String(headers['x-ratelimit-remaining']) === '0') {
      seconds = Math.max(0, Number(headers['x-ratelimit-reset'] ?? 0) - now / 1000)
    } else if (status === 429) seconds = 2 ** attempt
  } else if (status === 502 || status === 503) seconds = 2 ** attempt
  return seconds !== null && seconds <= LONGEST_WAIT ? Math.ceil(seconds) : null
}

/** A client that waits where GitHub asks it to. */
export function connect(token: string, api: string): Octokit {
  const octokit = getOctokit(token, { baseUrl: api })
  octokit.hook.wrap('request', async (request, options) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await request(options)
      } catch (error) {
        const seconds = attempt < ATTEMPTS ? waitFor(error as Refusal, attempt) : null
        if (seconds === null) throw error
        await sleep(seconds * 1000)
      }
    }
  })
  return octokit
}

/**
 * Does what a permission may forbid.
 *
 * @param what the thing wanted, such as `The comment`.
 * @returns null, or a sentence that says what is missing.
 */
export async function attempt(
  what: string,
  permission: string,
  action: () => Promise<unknown>,
): Promise<string | null> {
  try {
    await action()
    return null
  } catch (error) {
    const { status, message } = error as Refusal
    if (status === 401 || status === 403 || status === 404) {
      return (
        `${what} could not be written: the token lacks \`${permission}\`. Add it under ` +
        '`permissions:`; for pull requests from forks and bots use the action in `post/`.'
      )
    }
    return `${what} could not be written: ${message.split('\n')[0]}.`
  }
}

/** The comment that begins with `marker`, written by an app; people's comments are left alone. */
async function findComment(octokit: Octokit, repo: Repo, number: number, marker: string) {
  const pages = octokit.paginate.iterator(octokit.rest.issues.listComments, {
    ...repo,
    issue_number: number,
    per_page: 100,
  })
  for await (const { data } of pages) {
    const found = data.find((c) => c.user?.type === 'Bot' && c.body?.startsWith(marker))
    if (found !== undefined) return found
  }
  return null
}

/**
 * Keeps one comment on a pull request up to date.
 *
 * @param body null where there is nothing to tell: then a comment that is there already is set to
 *   `otherwise`, and none is made.
 */
export async function stickyComment(
  octokit: Octokit,
  repo: Repo,
  number: number,
  marker: string,
  body: string | null,
  otherwise: string,
): Promise<void> {
  const old = await findComment(octokit, repo, number, marker)
  if (old === null) {
    if (body === null) return
    await octokit.rest.issues.createComment({ ...repo, issue_number: number, body })
    return
  }
  const wanted = body ?? otherwise
  // GitHub trims what it stores.
  if (old.body?.trim() === wanted.trim()) return
  await octokit.rest.issues.updateComment({ ...repo, comment_id: old.id, body: wanted })
}

export interface PullFile {
  filename: string
  sha: string | null
  patch: string
}

/** The files of a pull request with their patches; GitHub lists 3,000 at most. */
export async function pullFiles(octokit: Octokit, repo: Repo, number: number): Promise<PullFile[]> {
  const files = await octokit.paginate(octokit.rest.pulls.listFiles, {
    ...repo,
    pull_number: number,
    per_page: 100,
  })
  return files.map(({ filename, sha, patch = '' }) => ({ filename, sha, patch }))
}
