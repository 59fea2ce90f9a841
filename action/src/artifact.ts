/** Takes one file out of an artifact that someone else's code may have made. */

import { unzipSync } from 'fflate'

/** Bytes of an artifact, and of the report in it. */
export const ARTIFACT_LIMIT = 20 * 1024 * 1024
export const CONTENT_LIMIT = 100 * 1024 * 1024

/** An artifact that cannot be used. The message is a clause without a full stop. */
export class ArtifactError extends Error {
  override name = 'ArtifactError'
}

/**
 * The text of the only JSON file of an artifact; nothing is written to disk.
 *
 * @throws ArtifactError
 */
export function jsonIn(archive: Uint8Array): string {
  if (archive.length > ARTIFACT_LIMIT) throw new ArtifactError('the artifact is too large')
  let files: Record<string, Uint8Array>
  try {
    let count = 0
    files = unzipSync(archive, {
      // Sizes come from the archive itself: fflate never writes beyond what is announced.
      filter: ({ name, originalSize }) => {
        if (!name.endsWith('.json')) return false
        if (++count > 1) throw new ArtifactError('the artifact holds more than one JSON file')
        if (originalSize > CONTENT_LIMIT) throw new ArtifactError('the report in it is too large')
        return true
      },
    })
  } catch (error) {
    if (error instanceof ArtifactError) throw error
    throw new ArtifactError(`the artifact is no archive: ${(error as Error).message}`)
  }
  const [content] = Object.values(files)
  if (content === undefined) throw new ArtifactError('the artifact holds no JSON file')
  return new TextDecoder('utf-8', { fatal: false }).decode(content)
}
