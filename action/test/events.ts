/** Payloads of the events, cut to what names commits, people and repositories. */

const base = { id: 1, full_name: 'lab/experiments', default_branch: 'main', fork: false }

export interface Pull {
  base: string
  head: string
  fork?: boolean
  sender?: string
}

/** `pull_request` and `pull_request_target`. */
export function pullRequest({ base: from, head, fork = false, sender = 'ada' }: Pull): object {
  const repo = fork
    ? { id: 2, full_name: 'eve/experiments', default_branch: 'main', fork: true }
    : base
  return {
    action: 'synchronize',
    number: 7,
    pull_request: {
      number: 7,
      state: 'open',
      user: { login: sender, type: sender.endsWith('[bot]') ? 'Bot' : 'User' },
      base: { ref: 'main', sha: from, repo: base },
      head: { ref: 'topic', sha: head, repo },
    },
    repository: base,
    sender: { login: sender, type: sender.endsWith('[bot]') ? 'Bot' : 'User' },
  }
}

export const push = (before: string, after: string): object => ({
  ref: 'refs/heads/main',
  before,
  after,
  created: /^0+$/.test(before),
  deleted: false,
  forced: false,
  repository: base,
})

export const mergeGroup = (from: string, head: string): object => ({
  action: 'checks_requested',
  merge_group: { base_sha: from, base_ref: 'refs/heads/main', head_sha: head },
  repository: base,
})

export const dispatch = (): object => ({ inputs: {}, ref: 'refs/heads/main', repository: base })
export const schedule = (): object => ({ schedule: '0 4 * * *', repository: base })

export const workflowRun = (head: string, event = 'pull_request'): object => ({
  action: 'completed',
  workflow_run: {
    id: 99,
    event,
    head_sha: head,
    head_branch: 'topic',
    conclusion: 'failure',
    head_repository: { id: 2, full_name: 'eve/experiments', owner: { login: 'eve' } },
    pull_requests: [],
  },
  repository: base,
})
