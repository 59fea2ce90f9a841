/** Light or dark: as the system says, until the button says otherwise. */

type Theme = 'auto' | 'light' | 'dark'

const WORDS: Record<Theme, string> = { auto: 'Auto', light: 'Light', dark: 'Dark' }
const NEXT: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' }
const KEY = 'explint-theme'

export function themeButton(button: HTMLElement): void {
  let theme = stored()
  const apply = () => {
    if (theme === 'auto') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = theme
    button.textContent = `Theme: ${WORDS[theme]}`
  }
  button.addEventListener('click', () => {
    theme = NEXT[theme]
    try {
      localStorage.setItem(KEY, theme)
    } catch {
      // A page opened from a file may have no storage; the choice then lasts as long as the page.
    }
    apply()
  })
  apply()
}

function stored(): Theme {
  try {
    const theme = localStorage.getItem(KEY)
    return theme === 'light' || theme === 'dark' ? theme : 'auto'
  } catch {
    return 'auto'
  }
}
