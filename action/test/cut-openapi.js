/**
 * Cuts GitHub's OpenAPI description to the requests that this action makes.
 *
 * node test/cut-openapi.js api.github.com.deref.json > test/github-api.json, with the file of that
 * name from the npm package @octokit/openapi.
 */

import fs from 'node:fs'

const USED = [
  ['/repos/{owner}/{repo}/pulls', 'get'],
  ['/repos/{owner}/{repo}/pulls/{pull_number}/files', 'get'],
  ['/repos/{owner}/{repo}/pulls/{pull_number}/comments', 'get'],
  ['/repos/{owner}/{repo}/pulls/{pull_number}/reviews', 'post'],
  ['/repos/{owner}/{repo}/issues/{issue_number}/comments', 'get'],
  ['/repos/{owner}/{repo}/issues/{issue_number}/comments', 'post'],
  ['/repos/{owner}/{repo}/issues/comments/{comment_id}', 'patch'],
  ['/repos/{owner}/{repo}/actions/runs/{run_id}/artifacts', 'get'],
  ['/repos/{owner}/{repo}/actions/artifacts/{artifact_id}/{archive_format}', 'get'],
]

const { info, paths } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
const plain = (schema) =>
  JSON.parse(
    JSON.stringify(schema, (key, value) =>
      /^(description|examples?)$/.test(key) && typeof value !== 'object' ? undefined : value,
    ),
  )
const cut = {}
for (const [path, method] of USED) {
  const { operationId, parameters, requestBody, responses } = paths[path][method]
  cut[path] ??= {}
  cut[path][method] = {
    operationId,
    parameters: parameters.map(({ name, in: place, required, schema }) =>
      plain({ name, in: place, required, schema }),
    ),
    body: requestBody === undefined ? null : plain(requestBody.content['application/json'].schema),
    statuses: Object.keys(responses),
  }
}
const { title, version, license } = info
process.stdout.write(
  `${JSON.stringify({ info: { title, version, license }, paths: cut }, null, 1)}\n`,
)
