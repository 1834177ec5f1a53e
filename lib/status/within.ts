/** An answer, or an error with these words when it does not come within so many seconds. */
export async function within<T>(seconds: number, answer: Promise<T>, words: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(words)), seconds * 1000)
  })
  return Promise.race([answer, late]).finally(() => clearTimeout(timer))
}
