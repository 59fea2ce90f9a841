import { stripTypeScriptTypes } from 'node:module'
import commonjs from '@rollup/plugin-commonjs'
import json from '@rollup/plugin-json'
import { nodeResolve } from '@rollup/plugin-node-resolve'

/** Node itself takes the types out, in the same way as when it runs the tests. */
const typescript = {
  name: 'strip-types',
  transform: (source, id) =>
    id.endsWith('.ts')
      ? { code: stripTypeScriptTypes(source, { mode: 'strip' }), map: null }
      : null,
}

export default {
  input: { index: 'src/index.ts', post: 'src/post.ts' },
  output: {
    dir: 'dist',
    format: 'es',
    entryFileNames: '[name].js',
    chunkFileNames: 'shared.js',
    generatedCode: 'es2015',
  },
  plugins: [
    typescript,
    nodeResolve({ preferBuiltins: true, exportConditions: ['node'] }),
    commonjs(),
    json(),
  ],
  onwarn(warning, warn) {
    // Libraries of ours are built from CommonJS and from TypeScript; these two are how they are.
    if (!['CIRCULAR_DEPENDENCY', 'THIS_IS_UNDEFINED'].includes(warning.code)) warn(warning)
  },
}
