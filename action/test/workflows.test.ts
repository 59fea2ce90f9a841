import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { parse } from 'yaml'
import actionSchema from './schemas/github-action.json' with { type: 'json' }
import workflowSchema from './schemas/github-workflow.json' with { type: 'json' }
import { ROOT } from './runner.ts'

const ajv = new Ajv({ strict: false })
;(addFormats as unknown as (ajv: Ajv) => void)(ajv)
const read = (file: string) => fs.readFileSync(path.join(ROOT, file), 'utf8')
const WORKFLOWS = fs
  .readdirSync(path.join(ROOT, 'docs', 'workflows'))
  .map((name) => `docs/workflows/${name}`)
const ACTIONS = ['action.yml', 'post/action.yml']

test('the metadata fits its schema, and its files are there', () => {
  const valid = ajv.compile(actionSchema)
  for (const file of ACTIONS) {
    const metadata = parse(read(file))
    const main: string = metadata.runs.main
    assert.ok(valid(metadata), `${file}: ${ajv.errorsText(valid.errors)}`)
    assert.ok(fs.existsSync(path.resolve(ROOT, path.dirname(file), main)))
  }
})

test('the example workflows fit their schema', () => {
  const valid = ajv.compile(workflowSchema)
  assert.ok(WORKFLOWS.length > 0)
  for (const file of WORKFLOWS)
    assert.ok(valid(parse(read(file))), `${file}: ${ajv.errorsText(valid.errors)}`)
})

interface Step {
  uses?: string
  with?: Record<string, string>
}

test('the example workflows use inputs that exist, and pin every action by its commit', () => {
  for (const file of WORKFLOWS) {
    const { jobs } = parse(read(file)) as { jobs: Record<string, { steps: Step[] }> }
    for (const { uses = '', with: given = {} } of Object.values(jobs).flatMap((job) => job.steps)) {
      if (uses === '') continue
      assert.match(uses, /^[\w-]+\/[\w-]+(?:\/post)?@[0-9a-f]{40}$/)
      if (!uses.startsWith('explint/')) continue
      const inputs = Object.keys(
        parse(read(uses.includes('/post@') ? 'post/action.yml' : 'action.yml')).inputs,
      )
      for (const name of Object.keys(given)) assert.ok(inputs.includes(name), `${file}: ${name}`)
    }
  }
})

test('the page shows the workflows as they are, and names every input and output', () => {
  const page = read('docs/action.md')
  for (const file of WORKFLOWS) {
    assert.ok(page.includes(`(workflows/${path.basename(file)})`), `${file} is not linked`)
  }
  const shown = /```yaml\n([^]*?)```/.exec(page)?.[1]
  assert.equal(shown, read('docs/workflows/check.yml'))
  const { inputs, outputs } = parse(read('action.yml'))
  for (const name of Object.keys({ ...inputs, ...outputs })) {
    assert.ok(
      page.includes(`\`${name}\``) || page.includes(`\`${name}: `),
      `${name} is not explained`,
    )
  }
})
