/** An answer, or the error of `late` when it does not come within so many seconds. */
export async function within<T>(seconds: number, answer: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), seconds * 1000)
  })
  return Promise.race([answer, over]).finally(() => clearTimeout(timer))
}
