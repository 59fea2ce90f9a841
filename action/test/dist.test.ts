import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { rollup } from 'rollup'

test('dist/ is what src/ builds to, byte for byte', async () => {
  const folder = path.resolve(import.meta.dirname, '..')
  const { default: config } = await import(path.join(folder, 'rollup.config.js'))
  const input = Object.fromEntries(
    Object.entries<string>(config.input).map(([name, file]) => [name, path.join(folder, file)]),
  )
  const bundle = await rollup({ ...config, input })
  const { output } = await bundle.generate(config.output)
  const dist = path.join(folder, 'dist')
  assert.deepEqual(output.map((file) => file.fileName).sort(), fs.readdirSync(dist).sort())
  for (const file of output) {
    assert.equal(file.type, 'chunk')
    const written = fs.readFileSync(path.join(dist, file.fileName), 'utf8')
    assert.ok(written === file.code, `${file.fileName} is out of date: npm run build`)
  }
})
