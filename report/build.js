/** Bundles the page's sources into the package data of explint. Same sources, same bytes. */

import fs from 'node:fs/promises'
import path from 'node:path'
import { build } from 'esbuild'

const here = import.meta.dirname

export const OUT = path.resolve(here, '../python/explint/audit/page')

/** The files of the bundle by name. */
export async function bundle() {
  const result = await build({
    absWorkingDir: here,
    entryPoints: { page: 'src/main.ts', style: 'src/page.css' },
    bundle: true,
    minify: true,
    charset: 'ascii',
    format: 'esm',
    target: ['chrome115', 'firefox115', 'safari16.4'],
    legalComments: 'none',
    metafile: true,
    outdir: OUT,
    write: false,
    logLevel: 'warning',
  })
  const files = Object.fromEntries(
    result.outputFiles.map((file) => [path.basename(file.path), file.text]),
  )
  files['page.html'] = await fs.readFile(path.join(here, 'src/index.html'), 'utf8')
  files['LICENSES.txt'] = await licenses(result.metafile)
  return files
}

/** The terms of every library that the bundle holds a part of. */
async function licenses(metafile) {
  const names = new Set()
  for (const [, output] of Object.entries(metafile.outputs))
    for (const [file, { bytesInOutput }] of Object.entries(output.inputs)) {
      const name = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]
      if (name !== undefined && bytesInOutput > 0) names.add(name)
    }
  const texts = []
  for (const name of [...names].sort()) {
    const folder = path.join(here, 'node_modules', name)
    const { version, license } = JSON.parse(
      await fs.readFile(path.join(folder, 'package.json'), 'utf8'),
    )
    const file = (await fs.readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry))
    if (file === undefined) throw new Error(`${name} comes without its licence text`)
    const text = (await fs.readFile(path.join(folder, file), 'utf8')).trim()
    texts.push(`${name} ${version} (${license})\n\n${text.replaceAll('\r\n', '\n')}\n`)
  }
  return texts.join(`\n${'-'.repeat(80)}\n\n`)
}

if (process.argv[1] === import.meta.filename) {
  await fs.mkdir(OUT, { recursive: true })
  for (const [name, text] of Object.entries(await bundle()))
    await fs.writeFile(path.join(OUT, name), text)
}
