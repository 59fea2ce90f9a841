import path from 'node:path'
import { main } from './main.ts'

await main(path.resolve(import.meta.dirname, '..'))
