import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { bundle, OUT } from '../build.js'

test('what explint ships is what src/ builds to, byte for byte', async () => {
  const files = await bundle()
  const shipped = fs.readdirSync(OUT).filter((name) => !name.startsWith('__'))
  assert.deepEqual(Object.keys(files).sort(), shipped.sort())
  for (const [name, text] of Object.entries(files))
    assert.ok(
      fs.readFileSync(path.join(OUT, name), 'utf8') === text,
      `${name} is out of date: npm run build`,
    )
})

test('the bundle can stand in a page', async () => {
  const files = await bundle()
  // Either would end, or hide the end of, the element that it stands in.
  assert.ok(!/<\/script|<!--|<script/i.test(files['page.js'] ?? ''))
  assert.ok(!/<\/style/i.test(files['style.css'] ?? ''))
})
