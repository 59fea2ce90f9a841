/** The repository in the workspace: its history made deep enough, and what changed in it. */

import { changedLines } from './diff.ts'
import type { ChangedLines } from './planner.ts'
import { environment, run, type Result } from './process.ts'

const SHA = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/
/** How much history is fetched before all of it is. */
const DEPTHS = [50, 250, 1000]

/** Git could not do what was asked of it. The message is a clause without a full stop. */
export class GitError extends Error {
  override name = 'GitError'
}

export interface Access {
  /** The address of the server the token is for. */
  server: string
  token: string
}

/** One repository, asked through git itself and never through a shell. */
export class Repository {
  readonly #folder: string
  readonly #env: Record<string, string>

  constructor(folder: string, access: Access | null) {
    this.#folder = folder
    this.#env = environment({
      GIT_TERMINAL_PROMPT: '0',
      LC_ALL: 'C',
      ...(access === null ? {} : authorisation(access)),
    })
  }

  async #git(...args: string[]): Promise<Result> {
    return run('git', args, { cwd: this.#folder, env: this.#env, timeoutMs: 300_000 })
  }

  async #ask(...args: string[]): Promise<string | null> {
    const { code, stdout } = await this.#git(...args)
    return code === 0 ? stdout.trim() : null
  }

  /** The full id of the commit a revision names, or null. */
  async commit(revision: string): Promise<string | null> {
    return this.#ask('rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`)
  }

  /** The text of a file in a commit, or null. */
  async fileAt(commit: string, path: string): Promise<string | null> {
    const { code, stdout } = await this.#git('cat-file', 'blob', `${commit}:${path}`)
    return code === 0 ? stdout : null
  }

  /** The id of the blob a path has in the commit checked out, or null. */
  async blob(path: string): Promise<string | null> {
    return this.#ask('rev-parse', '--verify', '--quiet', '--end-of-options', `HEAD:${path}`)
  }

  /** The parents written in a commit, those beyond a shallow clone's edge too. */
  async #parents(commit: string): Promise<string[]> {
    const text = (await this.#ask('cat-file', 'commit', commit)) ?? ''
    const [head = ''] = text.split('\n\n')
    return [...head.matchAll(/^parent ([0-9a-f]+)$/gm)].map(([, id = '']) => id)
  }

  async #fetch(depth: string, ...refs: string[]): Promise<boolean> {
    const args = ['fetch', '--no-tags', '--quiet', '--no-recurse-submodules', depth, 'origin']
    return (await this.#git(...args, ...refs)).code === 0
  }

  async #connected(base: string, head: string): Promise<string | null> {
    return this.#ask('merge-base', base, head)
  }

  /**
   * The commit where `wanted` and what is checked out part, with as much history as that takes.
   *
   * @param pullRequestHead the head of the pull request: where its merge with the base branch is
   *   checked out, the base is the merge's own first parent, whatever `wanted` was at the event.
   * @throws GitError saying why there is none.
   */
  async base(wanted: string, pullRequestHead: string | null): Promise<string> {
    const head = await this.commit('HEAD')
    if (head === null) throw new GitError('nothing is checked out here; use actions/checkout first')
    const parents = await this.#parents(head)
    const merged = parents.length === 2 && parents[1] === pullRequestHead
    const target = merged ? (parents[0] ?? wanted) : wanted
    if ((await this.commit(target)) === null && SHA.test(target)) {
      await this.#fetch('--depth=1', target)
    }
    const base = await this.commit(target)
    if (base === null) {
      throw new GitError(`the repository has no commit ${target}, and it could not be fetched`)
    }
    const found = await this.#connected(base, head)
    if (found !== null) return found
    if ((await this.#ask('rev-parse', '--is-shallow-repository')) === 'true') {
      if (merged && (await this.#fetch('--depth=2', head))) {
        const near = await this.#connected(base, head)
        if (near !== null) return near
      }
      for (const depth of [...DEPTHS.map((d) => `--deepen=${d}`), '--unshallow']) {
        if (!(await this.#fetch(depth, base, head))) break
        const near = await this.#connected(base, head)
        if (near !== null) return near
      }
    }
    const shallow = (await this.#ask('rev-parse', '--is-shallow-repository')) === 'true'
    throw new GitError(
      `${base.slice(0, 10)} and ${head.slice(0, 10)} have no common commit` +
        (shallow ? '; the clone is shallow and could not be deepened' : ''),
    )
  }

  /**
   * The lines that differ between a commit and the files checked out.
   *
   * @throws GitError when git fails or the difference is too large to read.
   */
  async changed(commit: string): Promise<ChangedLines> {
    const { code, stdout, stderr, problem } = await this.#git(
      ...[
        '-c',
        'core.quotePath=true',
        '-c',
        'diff.noprefix=false',
        '-c',
        'diff.mnemonicPrefix=false',
      ],
      ...['diff', '--unified=0', '--no-color', '--no-ext-diff', '--no-textconv', '--find-renames'],
      ...['--src-prefix=a/', '--dst-prefix=b/', '--ignore-submodules', commit, '--'],
    )
    if (code !== 0 || problem !== '')
      throw new GitError(`git diff failed: ${problem || stderr.trim()}`)
    return changedLines(stdout)
  }

  /**
   * The branches of `origin` that a pattern with `*` names, as name and commit, in order of name.
   *
   * @throws GitError when they cannot be listed.
   */
  async branches(pattern: string): Promise<[string, string][]> {
    const { code, stdout, stderr, problem } = await this.#git('ls-remote', '--heads', 'origin')
    if (code !== 0) {
      throw new GitError(`the branches of origin cannot be listed: ${problem || stderr.trim()}`)
    }
    const wanted = glob(pattern)
    const listed = stdout.split('\n').flatMap((line): [string, string][] => {
      const [id = '', ref = ''] = line.split('\t')
      const name = ref.replace(/^refs\/heads\//, '')
      return SHA.test(id) && wanted.test(name) ? [[name, id]] : []
    })
    return listed.sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /**
   * Writes the files of the commit checked out into an empty folder.
   *
   * @throws GitError
   */
  async copyTo(folder: string): Promise<void> {
    const how = [
      '-c',
      'core.hooksPath=/dev/null',
      'worktree',
      'add',
      '--quiet',
      '--detach',
      '--force',
    ]
    const { code, stderr } = await this.#git(...how, folder, 'HEAD')
    if (code !== 0) throw new GitError(`the commit could not be copied: ${stderr.trim()}`)
  }

  /** Takes away what {@link copyTo} wrote. */
  async dropCopy(folder: string): Promise<void> {
    await this.#git('worktree', 'remove', '--force', folder)
  }

  /** Whether commits are here, or could be fetched. */
  async have(commits: readonly string[]): Promise<boolean> {
    const known = await Promise.all(commits.map((id) => this.commit(id)))
    const missing = commits.filter((_, index) => known[index] === null)
    return missing.length === 0 || this.#fetch('--depth=1', ...missing)
  }
}

/** A pattern of branch names: `*` stands for anything, as in a refspec. */
export function glob(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`)
}

/** The token for git, by the environment so that no process list shows it. */
function authorisation({ server, token }: Access): Record<string, string> {
  const key = `http.${server.replace(/\/$/, '')}/.extraheader`
  const secret = Buffer.from(`x-access-token:${token}`).toString('base64')
  // The empty value takes back what actions/checkout may have set; two such headers are refused.
  return {
    GIT_CONFIG_COUNT: '2',
    GIT_CONFIG_KEY_0: key,
    GIT_CONFIG_VALUE_0: '',
    GIT_CONFIG_KEY_1: key,
    GIT_CONFIG_VALUE_1: `AUTHORIZATION: basic ${secret}`,
  }
}
