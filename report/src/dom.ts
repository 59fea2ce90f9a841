/** Builds elements from text, never from markup: what a page shows was written by strangers. */

type Value = string | number | boolean | null | undefined | ((event: Event) => void)
export type Child = Node | string | number | null | undefined | false

/**
 * An element with attributes and children. A function becomes a listener of the event that the key
 * names; false, null and undefined leave an attribute out. Strings become text nodes.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...kept(children))
  return element
}

/** Puts other children into an element. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...kept(children))
}

function kept(children: Child[]): (Node | string)[] {
  return children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === 'number' ? number(child) : child))
}

/** The element of the page's skeleton with that id. */
export function part<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`the page has no element #${id}`)
  return element as T
}

const numbers = new Intl.NumberFormat('en')

/** A number with thousands apart. */
export function number(value: number): string {
  return numbers.format(value)
}

/** A number on an axis of counts, where there is nothing between two of them. */
export function whole(value: number): string {
  return Number.isInteger(value) ? number(value) : ''
}

/** `1 package`, `2 packages`. */
export function counted(value: number, word: string): string {
  return `${number(value)} ${word}${value === 1 ? '' : 's'}`
}

/** A share as a percentage; one decimal where whole numbers would say none or all. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return '–'
  const share = (100 * part) / whole
  const edge = (share > 0 && share < 1) || (share > 99 && share < 100)
  return `${share.toFixed(edge ? 1 : 0)}%`
}

/** Runs a function once things have been quiet for some milliseconds. */
export function settled(milliseconds: number, action: () => void): () => void {
  let timer: number | undefined
  return () => {
    window.clearTimeout(timer)
    timer = window.setTimeout(action, milliseconds)
  }
}
