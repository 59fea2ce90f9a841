/** What the event that started the workflow says: whose code it is, and what to compare with. */

export interface Event {
  name: string
  /** The commit to compare with; null where the event has none. */
  base: string | null
  /** Why there is no base although one could be expected; empty otherwise. */
  problem: string
  /** `fork`: the code comes from another repository than the one the workflow belongs to. */
  pull: { number: number; head: string; fork: boolean } | null
}

interface Payload {
  pull_request?: {
    number: number
    base: { sha: string; repo?: { full_name?: string } | null }
    head: { sha: string; repo?: { full_name?: string } | null }
  }
  merge_group?: { base_sha?: string }
  before?: string
  deleted?: boolean
}

/** Reads an event. What an event does not hold is taken for absent. */
export function readEvent(name: string, payload: Payload): Event {
  const none = { name, base: null, problem: '', pull: null }
  const { pull_request: pull, merge_group: group } = payload
  if (pull !== undefined) {
    const { number, base, head } = pull
    // A repository that is gone, or not named, is none of ours.
    const own = base.repo?.full_name
    const fork = own === undefined || head.repo?.full_name !== own
    return { ...none, base: base.sha, pull: { number, head: head.sha, fork } }
  }
  if (group?.base_sha !== undefined) return { ...none, base: group.base_sha }
  if (name === 'push' && payload.before !== undefined) {
    if (/^0+$/.test(payload.before)) return { ...none, problem: 'the branch is new' }
    return { ...none, base: payload.before }
  }
  return none
}
