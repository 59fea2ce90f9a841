/**
 * The second action, for `workflow_run`: comments on a fork's pull request.
 *
 * The report was made by code that the fork may have chosen. It is read as data, checked against its
 * schema, and shown escaped; nothing is checked out.
 */

import * as core from '@actions/core'
import { context } from '@actions/github'
import { ARTIFACT_LIMIT, ArtifactError, jsonIn } from './artifact.ts'
import { commandText, logLine } from './escape.ts'
import { attempt, connect, stickyComment, type Octokit } from './github.ts'
import { plan } from './planner.ts'
import { openFindings, parseReport, ReportError } from './report.ts'
import { changesComment, hasChanges, type Context } from './summary.ts'

const MARKER = '<!-- explint: changes -->'

interface Run {
  id: number
  event: string
  head_sha: string
  head_branch: string
  head_repository: { owner: { login: string } } | null
}

/** There is nothing to post, and why: a whole sentence. */
class Nothing extends Error {
  override name = 'Nothing'
}

async function download(octokit: Octokit, run: Run): Promise<string> {
  const name = core.getInput('artifact') || 'explint-report'
  const { data } = await octokit.rest.actions.listWorkflowRunArtifacts({
    ...{ ...context.repo, run_id: run.id, name },
  })
  const artifact = data.artifacts.find((each) => each.name === name && !each.expired)
  if (artifact === undefined) throw new Nothing(`The run has no artifact named \`${name}\`.`)
  if (artifact.size_in_bytes > ARTIFACT_LIMIT) throw new Nothing('The artifact is too large.')
  const archive = await octokit.rest.actions.downloadArtifact({
    ...{ ...context.repo, artifact_id: artifact.id, archive_format: 'zip' },
  })
  return jsonIn(new Uint8Array(archive.data as ArrayBuffer))
}

/** The pull request that the run was for: open, from that branch, and still at that commit. */
async function pullOf(octokit: Octokit, run: Run): Promise<number> {
  const owner = run.head_repository?.owner.login
  if (owner === undefined) throw new Nothing('The repository of the pull request is gone.')
  const { data } = await octokit.rest.pulls.list({
    ...{
      ...context.repo,
      state: 'open' as const,
      head: `${owner}:${run.head_branch}`,
      per_page: 100,
    },
  })
  const found = data.find((pull) => pull.head.sha === run.head_sha)
  if (found === undefined) {
    throw new Nothing(
      'No open pull request stands at the commit of the run; a later run will tell.',
    )
  }
  return found.number
}

async function post(): Promise<void> {
  const run = context.payload['workflow_run'] as Run | undefined
  if (run === undefined) throw new Nothing('This action is for the event `workflow_run`.')
  if (run.event !== 'pull_request') throw new Nothing('The run was not for a pull request.')
  const token = core.getInput('token')
  core.setSecret(token)
  const octokit = connect(token, context.apiUrl)
  const number = await pullOf(octokit, run)
  const report = parseReport(await download(octokit, run))
  const planned = plan(openFindings(report), null)
  const { owner, repo } = context.repo
  const shown: Context = {
    report,
    plan: planned,
    links: { repository: `${context.serverUrl}/${owner}/${repo}`, commit: run.head_sha },
    notes: [],
    trials: [],
    passed: true,
    reportFile: '',
  }
  const body = hasChanges(report, planned) ? changesComment(shown, MARKER) : null
  const otherwise = `${MARKER}\n**explint** · this change adds and fixes no findings\n`
  const problem = await attempt('The comment', 'pull-requests: write', () =>
    stickyComment(octokit, context.repo, number, MARKER, body, otherwise),
  )
  if (problem !== null) throw new Nothing(problem)
}

try {
  await post()
} catch (error) {
  if (error instanceof Nothing) core.notice(commandText(error.message))
  else if (error instanceof ReportError || error instanceof ArtifactError) {
    core.setFailed(commandText(`The report cannot be used: ${error.message}.`))
  } else {
    core.info(logLine(String((error as Error).stack)))
    core.setFailed(commandText(`The report could not be fetched: ${(error as Error).message}`))
  }
}
