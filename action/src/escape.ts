/** Makes foreign text inert: in the runner's log, in workflow commands, and in Markdown. */

const ZERO_WIDTH_SPACE = '\u200b'

/** Control characters but line ends act on terminals; bidirectional ones turn text around. */
const HARMFUL = /[\u0000-\u0009\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** The text without what acts on a terminal or reverses the reading order. */
export function visible(text: string): string {
  return text.replace(HARMFUL, '\ufffd')
}

/** At most `limit` UTF-16 units, with a note at the end where something was left out. */
export function cut(text: string, limit: number, note = '…'): string {
  if (text.length <= limit) return text
  const end = limit - note.length
  // Half of a surrogate pair is no character.
  const whole = /[\ud800-\udbff]/.test(text.charAt(end - 1)) ? end - 1 : end
  return text.slice(0, whole) + note
}

/**
 * One line for the log that the runner does not take for a command.
 *
 * The runner reads `::name::` at the start of a line and `##[name]` anywhere in it
 * (actions/runner, `ActionCommand.TryParseV2` and `TryParse`).
 */
export function logLine(text: string): string {
  const line = visible(text).replace(/[\r\n]+/g, ' ')
  return line.replaceAll('##[', `##${ZERO_WIDTH_SPACE}[`).replace(/^\s*::/, `${ZERO_WIDTH_SPACE}::`)
}

/** The message of a workflow command, before `%`, CR and LF are escaped by the toolkit. */
export function commandText(text: string): string {
  return visible(text).replaceAll('##[', `##${ZERO_WIDTH_SPACE}[`)
}

// Everything that means something in GitHub's Markdown, HTML or mathematics. Inside a line of ours
// a dash, dot or plus means nothing.
const MARKUP = /[\\`*_{}[\]<>()#!|~&@$^"'=]/g

const entity = (character: string) => `&#${character.charCodeAt(0)};`

/** One line of Markdown that shows the text as it is: no markup, links, mentions or references. */
export function inert(text: string): string {
  return (
    visible(text)
      .replace(/\s*[\r\n]+\s*/g, ' ')
      .replace(MARKUP, entity)
      .replaceAll('://', '&#58;//')
      .replace(/\bwww\./gi, (found) => `${found.slice(0, -1)}&#46;`)
      // References are found in the rendered text, where entities are no hindrance.
      .replace(/&#(?:64|35);/g, (found) => found + ZERO_WIDTH_SPACE)
      .replace(/\bGH-(?=\d)/gi, (found) => found + ZERO_WIDTH_SPACE)
  )
}

/** The text as a code span, whatever it holds. References and mentions are not made in one. */
export function code(text: string): string {
  const shown = visible(text).replace(/\s*[\r\n]+\s*/g, ' ')
  return `<code>${shown.replace(MARKUP, entity).replaceAll('://', '&#58;//')}</code>`
}

/** A message of explint: names between backticks become code, the rest is plain and inert. */
export function prose(text: string): string {
  const parts = text.split('`')
  // An odd backtick opens nothing.
  if (parts.length % 2 === 0) return inert(text)
  return parts.map((part, index) => (index % 2 === 1 ? code(part) : inert(part))).join('')
}

/** A path in the address of a page: each part escaped, the slashes kept. */
export function urlPath(path: string): string {
  return path
    .split('/')
    .map((part) =>
      encodeURIComponent(part.toWellFormed()).replace(
        /[!'()*~_]/g,
        (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
      ),
    )
    .join('/')
}
