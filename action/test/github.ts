/**
 * A stand-in for GitHub's interface that refuses what GitHub would refuse.
 *
 * Every request is held against GitHub's OpenAPI description, cut to the operations in use
 * (`github-api.json`), and against rules which that description lacks: the length of a body, lines
 * inside the diff, permissions, rate limits.
 */

import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { hunksOf } from '../src/diff.ts'
import description from './github-api.json' with { type: 'json' }

interface Parameter {
  name: string
  in: string
  required?: boolean
  schema: { type?: string }
}

interface Operation {
  operationId: string
  parameters: Parameter[]
  body: object | null
}

const ajv = new Ajv({ strict: false, coerceTypes: true })
;(addFormats as unknown as (ajv: Ajv) => void)(ajv)
// A request body is JSON: its types are not to be coerced.
const strict = new Ajv({ strict: false })
;(addFormats as unknown as (ajv: Ajv) => void)(strict)

export interface Comment {
  id: number
  body: string
  user: { login: string; type: string }
  path?: string
}

export interface State {
  /** What the token may do: `pull-requests`, `actions`; absent is nothing at all. */
  permissions: Record<string, 'read' | 'write'>
  pulls: { number: number; head: { sha: string; label: string } }[]
  files: { filename: string; sha: string; status: string; patch?: string }[]
  comments: Comment[]
  reviewComments: Comment[]
  reviews: { commit_id: string; event: string; comments: ReviewComment[] }[]
  artifacts: { id: number; name: string; size_in_bytes: number; expired: boolean }[]
  archive: Uint8Array
  /** How many of the next requests are answered by 429. */
  busy: number
  /** Requests that GitHub's description forbids. */
  wrong: string[]
  requests: string[]
}

interface ReviewComment {
  path: string
  line: number
  side?: string
  body: string
}

class Refused extends Error {
  readonly status: number
  readonly headers: Record<string, string>

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }
}

export interface Server {
  url: string
  state: State
  close(): Promise<void>
}

export async function github(over: Partial<State> = {}): Promise<Server> {
  const state: State = {
    permissions: { 'pull-requests': 'write', actions: 'read' },
    ...{ pulls: [], files: [], comments: [], reviewComments: [], reviews: [], artifacts: [] },
    ...{ archive: new Uint8Array(), busy: 0, wrong: [], requests: [] },
    ...over,
  }
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const send = (status: number, value: unknown, headers: Record<string, string> = {}) => {
        const raw = value instanceof Uint8Array
        const type = raw ? 'application/zip' : 'application/json; charset=utf-8'
        response.writeHead(status, { 'content-type': type, ...headers })
        response.end(raw ? value : JSON.stringify(value))
      }
      try {
        const body = Buffer.concat(chunks).toString('utf8')
        const [status, value, headers] = answer(state, request, body)
        send(status, value, headers)
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        if (error.status === 400) state.wrong.push(error.message)
        send(error.status, { message: error.message }, error.headers)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, state, close: () => new Promise((resolve) => server.close(() => resolve())) }
}

type Answer = [number, unknown, Record<string, string>?]

function answer(state: State, request: http.IncomingMessage, text: string): Answer {
  const { method = '', url = '', headers } = request
  const address = new URL(url, `http://${headers.host}`)
  // The place that an artifact's address leads to: no interface, and no token goes there.
  if (address.pathname === '/storage/artifact') return [200, state.archive]
  state.requests.push(`${method} ${address.pathname}`)
  const match = operationOf(method, address.pathname)
  if (match === null) throw new Refused(400, `no such operation: ${method} ${address.pathname}`)
  const { operation, values } = match
  if (headers.authorization !== 'token the-token') throw new Refused(401, 'Bad credentials')
  if (state.busy > 0) {
    state.busy -= 1
    throw new Refused(429, 'secondary rate limit', { 'retry-after': '0' })
  }
  checkParameters(operation, values, address.searchParams)
  const body = checkBody(operation, text)
  const scope = operation.operationId.startsWith('actions/') ? 'actions' : 'pull-requests'
  const granted = state.permissions[scope]
  if (granted === undefined || (method !== 'GET' && granted !== 'write')) {
    throw new Refused(403, 'Resource not accessible by integration')
  }
  return act(state, operation.operationId, values, address, body)
}

function operationOf(method: string, pathname: string) {
  for (const [template, methods] of Object.entries(description.paths)) {
    const pattern = template.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')
    const found = new RegExp(`^${pattern}$`).exec(pathname)
    const operation = (methods as unknown as Record<string, Operation>)[method.toLowerCase()]
    if (found !== null && operation !== undefined) return { operation, values: found.groups ?? {} }
  }
  return null
}

function checkParameters(
  { operationId, parameters }: Operation,
  values: Record<string, string>,
  query: URLSearchParams,
): void {
  for (const [name, value] of [...Object.entries(values), ...query]) {
    const place = name in values ? 'path' : 'query'
    const parameter = parameters.find((p) => p.name === name && p.in === place)
    if (parameter === undefined) throw new Refused(400, `${operationId}: no parameter ${name}`)
    if (!ajv.validate({ type: 'object', properties: { value: parameter.schema } }, { value })) {
      throw new Refused(400, `${operationId}: ${name}=${value}: ${ajv.errorsText()}`)
    }
  }
}

function checkBody(
  { operationId, body: schema }: Operation,
  text: string,
): Record<string, unknown> {
  if (schema === null) return {}
  const body = JSON.parse(text) as Record<string, unknown>
  if (!strict.validate(schema, body)) {
    throw new Refused(400, `${operationId}: ${strict.errorsText()}`)
  }
  const known = Object.keys((schema as { properties: object }).properties)
  for (const name of Object.keys(body)) {
    if (!known.includes(name)) throw new Refused(400, `${operationId}: no property ${name}`)
  }
  return body
}

function act(
  state: State,
  operation: string,
  values: Record<string, string>,
  address: URL,
  body: Record<string, unknown>,
): Answer {
  const page = <T>(items: T[]): Answer => {
    const size = Number(address.searchParams.get('per_page') ?? 30)
    const number = Number(address.searchParams.get('page') ?? 1)
    const next = new URL(address)
    next.searchParams.set('page', String(number + 1))
    const more = items.length > size * number
    const link = `<${next.href}>; rel="next"`
    return [200, items.slice(size * (number - 1), size * number), more ? { link } : {}]
  }
  switch (operation) {
    case 'pulls/list': {
      const head = address.searchParams.get('head')
      return page(state.pulls.filter((pull) => head === null || pull.head.label === head))
    }
    case 'pulls/list-files':
      return page(state.files)
    case 'pulls/list-review-comments':
      return page(state.reviewComments)
    case 'issues/list-comments':
      return page(state.comments)
    case 'issues/create-comment': {
      const made = {
        id: 1000 + state.comments.length,
        body: limited(body['body']),
        user: BOT,
      }
      state.comments.push(made)
      return [201, made]
    }
    case 'issues/update-comment': {
      const found = state.comments.find((each) => String(each.id) === values['comment_id'])
      if (found === undefined) throw new Refused(404, 'Not Found')
      found.body = limited(body['body'])
      return [200, found]
    }
    case 'pulls/create-review': {
      const comments = body['comments'] as ReviewComment[]
      for (const { path, line, body: said } of comments) {
        limited(said)
        const patch = state.files.find((file) => file.filename === path)?.patch ?? ''
        if (!hunksOf(patch).some(({ first, last }) => first <= line && line <= last)) {
          throw new Refused(422, 'Unprocessable Entity: line must be part of the diff')
        }
      }
      state.reviews.push({
        commit_id: String(body['commit_id']),
        event: String(body['event']),
        comments,
      })
      state.reviewComments.push(
        ...comments.map(({ path, body: said }) => ({ id: 1, path, body: said, user: BOT })),
      )
      return [200, { id: 1 }]
    }
    case 'actions/list-workflow-run-artifacts': {
      const name = address.searchParams.get('name')
      const artifacts = state.artifacts.filter((artifact) => artifact.name === name)
      return [200, { total_count: artifacts.length, artifacts }]
    }
    case 'actions/download-artifact':
      return [302, null, { location: '/storage/artifact' }]
    default:
      throw new Refused(400, `not answered here: ${operation}`)
  }
}

const BOT = { login: 'github-actions[bot]', type: 'Bot' }

/** A body as GitHub stores it: at most 65,536 characters, trimmed. */
function limited(body: unknown): string {
  const text = String(body)
  if (text.length > 65_536) throw new Refused(422, 'body is too long (maximum is 65536 characters)')
  return text.trim()
}
